"""Nodes as rows of the table `nodes`: what lookups need in columns, the rest in one compressed payload (`codec`).

Runs in the threads of `lanes`; all functions take the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pir_serve.errors import StoreError
from pir_serve.store import codec
from pir_serve.store.base import Node
from pir_serve.store.brief import Brief, brief
from pir_serve.store.connection import Connection
from pir_serve.store.payload import Payloads
from pir_serve.store.schema import WAITING

logger = logging.getLogger(__name__)

_FIELD_COLUMNS = (
    "tenant", "sid", "transcript_key", "question_key", "system_key", "scope", "model", "digest", "parent", "created",
    "expires",
)  # fmt: skip
"""Fields of `Node` that are columns; the rest is in the payload."""
_COLUMNS = (*_FIELD_COLUMNS, "status", "session", "brief", "payload")
_INSERT = (
    f"INSERT INTO nodes ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (tenant, sid) DO NOTHING RETURNING seq"
)
_SELECT = f"SELECT seq, {', '.join(_FIELD_COLUMNS)}, payload FROM nodes WHERE "
BRIEF_COLUMNS = "tenant, sid, brief, CASE WHEN brief IS NULL THEN payload END"
"""What `NodeRows.brief` takes; rows that an earlier version wrote have no brief of their own."""


class NodeRows:
    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads

    def row(self, node: Node) -> tuple[object, ...]:
        extra = {"request": node.request, "message_keys": node.message_keys, "trace": node.trace}
        payload = codec.dump(node.trajectory, extra)
        place = (node.tenant, node.sid)
        return (
            *(getattr(node, column) for column in _FIELD_COLUMNS),
            node.status.value,
            node.trajectory.session,
            self._payloads.seal_json(brief(node.trajectory), "brief", *place),
            self._payloads.seal(payload, "row", *place),
        )

    def select(
        self, db: Connection, where: str, parameters: Sequence[object], *, strict: bool
    ) -> list[tuple[int, Node | None]]:
        """Row ids and nodes. One that cannot be read fails the call if `strict`; else it is logged and None.

        Raises: StoreError."""
        found: list[tuple[int, Node | None]] = []
        for seq, *row in db.execute(_SELECT + where, parameters).fetchall():
            try:
                found.append((seq, self._node(row)))
            except StoreError as error:
                if strict:
                    raise
                logger.error("left out: %s", error)
                found.append((seq, None))
        return found

    def brief(self, tenant: str, sid: str, data: bytes | None, payload: bytes | None) -> Brief:
        """From `BRIEF_COLUMNS`; of one that cannot be read, an empty one."""
        try:
            if data is not None:
                return Brief(*self._payloads.open_json(data, "brief", tenant, sid))
            return brief(codec.load(self._payloads.open(payload, "row", tenant, sid))[0])
        except (codec.CodecError, TypeError) as error:
            logger.error("node %s has no title: %s", sid, error)
            return Brief("", None, "")

    def _node(self, row: Sequence[Any]) -> Node:
        """Raises: StoreError, where the payload is damaged or sealed with a key that we do not have."""
        *columns, payload = row
        fields = dict(zip(_FIELD_COLUMNS, columns, strict=True))
        try:
            trajectory, extra = codec.load(self._payloads.open(payload, "row", fields["tenant"], fields["sid"]))
            request, message_keys = extra["request"], tuple(extra["message_keys"])
        except (codec.CodecError, KeyError, TypeError) as error:
            raise StoreError(f"{fields['sid']} is stored but cannot be read: {error}") from error
        trace = str(extra.get("trace", ""))  # a row of an earlier version has none
        return Node(trajectory=trajectory, request=request, message_keys=message_keys, trace=trace, **fields)


def _count(db: Connection, tenant: object) -> int:
    return int(db.execute("SELECT COUNT(*) FROM nodes WHERE tenant = ?", (tenant,)).fetchone()[0])


def insert(db: Connection, row: Sequence[object], max_per_tenant: int) -> tuple[bool, int, int]:
    """Whether the row is new, and how many finished and waiting ones of its tenant were dropped for it.

    The oldest go, by arrival: clocks may jump."""
    tenant = row[0]
    with db.transaction():
        inserted = db.execute(_INSERT, row).fetchall()
        if not inserted:
            return False, 0, 0
        newest = inserted[0][0]
        dropped = [0, 0]
        if (beyond := _count(db, tenant) - max_per_tenant) > 0:
            db.lock(str(tenant))
            beyond = _count(db, tenant) - max_per_tenant  # who held the lock may have dropped them
        for k, condition in enumerate((f"NOT ({WAITING})", WAITING)):
            if (wanted := beyond - sum(dropped)) > 0:
                oldest = f"SELECT seq FROM nodes WHERE tenant = ? AND {condition} AND seq <> ? ORDER BY seq LIMIT ?"
                sql = f"DELETE FROM nodes WHERE seq IN ({oldest})"
                dropped[k] = db.execute(sql, (tenant, newest, wanted)).rowcount
    return True, dropped[0], dropped[1]
