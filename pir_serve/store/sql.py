"""The store over any database that `connection` describes: what is done is here, how it is connected to elsewhere."""

from __future__ import annotations

import builtins
import contextlib
import logging
import time
from collections.abc import Callable, Set

from pir_serve.errors import StoreError
from pir_serve.store.base import Node, Page, Session, Stats, Suspension
from pir_serve.store.connection import Connection, Lanes, Owner
from pir_serve.store.cursor import read_cursor, write_cursor
from pir_serve.store.key_rows import KeyRows
from pir_serve.store.node_rows import NodeRows, insert
from pir_serve.store.payload import Payloads
from pir_serve.store.reseal import reseal
from pir_serve.store.response_rows import ResponseRows
from pir_serve.store.schema import WAITING
from pir_serve.store.sealed import Sealer
from pir_serve.store.session_rows import Head, SessionRows, status_values
from pir_serve.store.tally_rows import TallyRows
from pir_serve.trajectory import Status

logger = logging.getLogger(__name__)

_DELETED_AT_ONCE = 256
_SEARCHED_AT_ONCE = 64
"""Rows and sessions; between batches others have their turn."""


class SqlStore:
    """`Store`.

    `max_per_tenant` nodes are kept of each tenant, and as many responses. `now` tells Unix seconds. With a `sealer`
    what people and the model wrote is encrypted at rest; ids, names of models, times and keyed hashes are not.
    """

    def __init__(
        self,
        lanes: Lanes,
        make_owner: Callable[[], Owner],
        *,
        sealer: Sealer | None = None,
        max_per_tenant: int = 10_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._max_per_tenant = max_per_tenant
        self._now = now
        self._lanes = lanes
        self._payloads = payloads = Payloads(sealer)
        self._nodes = NodeRows(payloads)
        self._sessions = SessionRows(payloads, self._nodes)
        self._responses = ResponseRows(lanes, make_owner, payloads, max_per_tenant=max_per_tenant, now=now)
        self._keys = KeyRows(lanes)
        self._tallies = TallyRows(lanes)
        self._evicted = {"finished": 0, "waiting": 0}

    @property
    def responses(self) -> ResponseRows:
        return self._responses

    @property
    def keys(self) -> KeyRows:
        return self._keys

    @property
    def tallies(self) -> TallyRows:
        return self._tallies

    def observe(self, told: Callable[[str, float, bool], None]) -> None:
        self._lanes.observe = told

    async def start(self) -> None:
        """Open the database, creating or migrating it. Raises: StoreError, ConfigError."""
        await self._lanes.start()
        try:
            await self._responses.start()
        except BaseException:
            await self.aclose()
            raise

    async def put(self, node: Node, *, most: int | None = None) -> None:
        """Raises: StoreError, also where another node has this id."""
        assert node.status is not Status.IN_PROGRESS
        most = self._max_per_tenant if most is None else most

        def work(db: Connection) -> tuple[bool, int, int]:
            row = self._nodes.row(node)  # compressing takes longer than the database does: not in the event loop
            with contextlib.nullcontext() if node.status is Status.AWAITING_USER else db.unflushed():
                return insert(db, row, most)

        is_new, finished, waiting = await self._lanes.write(work)
        if finished or waiting:
            self._evicted["finished"] += finished
            self._evicted["waiting"] += waiting
            logger.log(
                logging.WARNING if waiting else logging.DEBUG,
                "dropped %d finished trajectories and %d suspensions: a tenant has more than %d",
                finished, waiting, most,
            )  # fmt: skip
        if not is_new:
            # Written before: a retry whose first attempt was not acknowledged, or two different ones with one id.
            found = await self._select("tenant = ? AND sid = ?", (node.tenant, node.sid), strict=True)
            if [stored for _, stored in found] != [node]:
                raise StoreError(f"another node is stored as {node.sid}")

    async def get(self, tenant: str, sid: str) -> Node | None:
        """Raises: StoreError, also where the row is there but cannot be read."""
        where = "tenant = ? AND sid = ? AND expires > ?"
        found = await self._select(where, (tenant, sid, self._now()), strict=True)
        return found[0][1] if found else None

    async def find_by_transcript(
        self, tenant: str, transcript_key: str, *, scope: str | None = None, limit: int = 32
    ) -> builtins.list[Suspension]:
        return await self._waiting("transcript_key", tenant, transcript_key, scope, limit)

    async def find_by_question(
        self, tenant: str, question_key: str, *, scope: str | None = None, limit: int = 32
    ) -> builtins.list[Suspension]:
        return await self._waiting("question_key", tenant, question_key, scope, limit)

    async def _waiting(
        self, column: str, tenant: str, key: str, scope: str | None, limit: int
    ) -> builtins.list[Suspension]:
        where = f"{WAITING} AND tenant = ? AND {column} = ? AND expires > ?" + " AND scope = ?" * (scope is not None)
        given = (tenant, key, self._now(), *([] if scope is None else [scope]))
        found = await self._select(f"{where} ORDER BY seq DESC LIMIT ?", (*given, limit), strict=False)
        return [node for _, node in found if node is not None]

    async def list(
        self,
        tenant: str,
        *,
        session: str | None = None,
        status: Status | Set[Status] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Node]:
        where, given = "tenant = ?", [tenant]
        if session is not None:
            where, given = f"{where} AND session = ?", [*given, session]
        if status is not None:
            values = status_values(status)
            where, given = f"{where} AND status IN ({', '.join('?' * len(values))})", [*given, *values]
        where += " AND expires > ? AND seq < ?"
        parameters = (*given, self._now(), read_cursor(cursor), limit + 1)
        found = await self._select(f"{where} ORDER BY seq DESC LIMIT ?", parameters, strict=False)
        items = tuple(node for _, node in found[:limit] if node is not None)
        return Page(items, write_cursor(found[limit - 1][0]) if len(found) > limit else None)

    async def sessions(
        self,
        tenant: str,
        *,
        status: Status | Set[Status] | None = None,
        search: str = "",
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Session]:
        now, below, words = self._now(), read_cursor(cursor), search.casefold().split()
        size = _SEARCHED_AT_ONCE if words else limit + 1
        heads: builtins.list[Head] = []
        while len(heads) <= limit:
            batch = await self._heads(tenant, now=now, below=below, status=status, limit=size)
            heads += await self._matching(tenant, batch, words, now)
            if len(batch) < size:
                break
            below = batch[-1].seq
        items = await self._lanes.read(lambda db: self._sessions.sessions(db, tenant, heads[:limit], now=now))
        return Page(tuple(items), write_cursor(heads[limit - 1].seq) if len(heads) > limit else None)

    async def _heads(
        self, tenant: str, *, now: float, below: int, status: Status | Set[Status] | None, limit: int
    ) -> builtins.list[Head]:
        return await self._lanes.read(
            lambda db: self._sessions.heads(db, tenant, now=now, below=below, status=status, limit=limit)
        )

    async def _matching(
        self, tenant: str, heads: builtins.list[Head], words: builtins.list[str], now: float
    ) -> builtins.list[Head]:
        if not words:
            return heads
        return await self._lanes.read(lambda db: self._sessions.matching(db, tenant, heads, words, now=now))

    async def session(self, tenant: str, session: str) -> Session | None:
        now = self._now()

        def work(db: Connection) -> builtins.list[Session]:
            return self._sessions.sessions(db, tenant, self._sessions.head(db, tenant, session, now=now), now=now)

        found = await self._lanes.read(work)
        return found[0] if found else None

    async def rename(self, tenant: str, session: str, title: str) -> bool:
        now = self._now()
        return await self._lanes.write(lambda db: self._sessions.rename(db, tenant, session, title, now=now))

    async def delete(self, tenant: str, sid: str) -> bool:
        sql = "DELETE FROM nodes WHERE tenant = ? AND sid = ? AND expires > ?"
        return await self._lanes.write(lambda db: db.execute(sql, (tenant, sid, self._now())).rowcount > 0)

    async def delete_session(self, tenant: str, session: str) -> int:
        sql = "DELETE FROM nodes WHERE tenant = ? AND session = ? AND expires > ?"
        return await self._lanes.write(lambda db: int(db.execute(sql, (tenant, session, self._now())).rowcount))

    async def purge(self, tenant: str) -> int:
        return await self._delete_all("tenant = ?", tenant)

    async def expire(self, now: float) -> int:
        await self._responses.fail_orphans()
        return await self._delete_all("expires <= ?", now)

    async def _delete_all(self, where: str, value: object) -> int:
        """In batches between which others can write; how many rows."""
        total = 0
        for table in ("nodes", "responses"):
            some = f"SELECT seq FROM {table} WHERE {where} LIMIT {_DELETED_AT_ONCE}"
            sql = f"DELETE FROM {table} WHERE seq IN ({some})"
            while deleted := await self._lanes.write(lambda db, sql=sql: int(db.execute(sql, (value,)).rowcount)):  # type: ignore[misc]
                total += deleted
        return total

    async def count(self, tenant: str | None = None, *, status: Status | None = None) -> int:
        wanted = {"tenant": tenant, "status": status and status.value}
        given = {column: value for column, value in wanted.items() if value is not None}
        sql = " AND ".join(["SELECT COUNT(*) FROM nodes WHERE expires > ?", *(f"{column} = ?" for column in given)])
        return await self._lanes.read(lambda db: int(db.execute(sql, (self._now(), *given.values())).fetchone()[0]))

    async def stats(self, tenant: str | None = None) -> Stats:
        where, parameters = ("WHERE tenant = ?", (tenant,)) if tenant is not None else ("", ())

        def work(db: Connection) -> Stats:
            def by_status(table: str) -> dict[str, int]:
                sql = f"SELECT status, COUNT(*) FROM {table} {where} GROUP BY status"
                return dict(db.execute(sql, parameters).fetchall())

            def distinct(columns: str) -> int:
                sql = f"SELECT COUNT(*) FROM (SELECT DISTINCT {columns} FROM nodes {where}) AS found"
                return int(db.execute(sql, parameters).fetchone()[0])

            return Stats(
                nodes=by_status("nodes"),
                responses=by_status("responses"),
                num_sessions=distinct("tenant, session"),
                num_tenants=distinct("tenant"),
                num_bytes=db.num_bytes(),
                evicted={**self._evicted, "responses": self._responses.num_evicted},
            )

        return await self._lanes.read(work)

    async def tenants(self) -> builtins.list[str]:
        sql = "SELECT tenant FROM nodes UNION SELECT tenant FROM responses ORDER BY tenant"
        return await self._lanes.read(lambda db: [str(tenant) for (tenant,) in db.execute(sql).fetchall()])

    async def reseal(self) -> int:
        return await reseal(self._lanes, self._payloads)

    async def aclose(self) -> None:
        """Finish what was begun and close the database. The store can be started again."""
        await self._lanes.aclose()
        self._responses.close()

    async def _select(
        self, where: str, parameters: tuple[object, ...], *, strict: bool
    ) -> builtins.list[tuple[int, Node | None]]:
        return await self._lanes.read(lambda db: self._nodes.select(db, where, parameters, strict=strict))
