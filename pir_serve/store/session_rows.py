"""Sessions: the rows of `nodes` grouped, with the titles that users gave. Runs in the threads of `lanes`."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, NamedTuple

from pir_serve.store.base import Session
from pir_serve.store.codec import CodecError
from pir_serve.store.connection import Connection
from pir_serve.store.cursor import END
from pir_serve.store.node_rows import BRIEF_COLUMNS, NodeRows
from pir_serve.store.payload import Payloads
from pir_serve.store.schema import WAITING
from pir_serve.trajectory import Status

_HEADS = f"""
    SELECT seq, session, model, status, created, {BRIEF_COLUMNS} FROM nodes AS head
    WHERE tenant = :tenant AND expires > :now AND seq < :below %s AND NOT EXISTS (
        SELECT 1 FROM nodes
        WHERE tenant = head.tenant AND session = head.session AND seq > head.seq AND expires > :now
    )
    ORDER BY seq DESC LIMIT :limit
"""
"""The newest node of each session. A session is where its newest node is: one that goes on moves to the front."""

_RENAME = (
    "INSERT INTO titles (tenant, session, title) VALUES (?, ?, ?) "
    "ON CONFLICT (tenant, session) DO UPDATE SET title = excluded.title"
)


class Head(NamedTuple):
    seq: int
    session: str
    model: str
    status: str
    created: float
    brief_columns: Sequence[Any]


class SessionRows:
    def __init__(self, payloads: Payloads, nodes: NodeRows) -> None:
        self._payloads = payloads
        self._nodes = nodes

    def heads(
        self, db: Connection, tenant: str, *, now: float, below: int, status: Status | Set[Status] | None, limit: int
    ) -> list[Head]:
        """Sessions whose newest node lies below a row id, newest first."""
        given: dict[str, object] = {"tenant": tenant, "now": now, "below": below, "limit": limit}
        condition = ""
        if status is not None:
            wanted = {f"status{k}": value for k, value in enumerate(status_values(status))}
            given |= wanted
            condition = f"AND status IN ({', '.join(f':{name}' for name in wanted)})"
        return _read_heads(db, condition, given)

    def head(self, db: Connection, tenant: str, session: str, *, now: float) -> list[Head]:
        """That of one session, if there is such a one."""
        given = {"tenant": tenant, "now": now, "below": END, "limit": 1, "session": session}
        return _read_heads(db, "AND session = :session", given)

    def sessions(self, db: Connection, tenant: str, heads: Sequence[Head], *, now: float) -> list[Session]:
        """The heads with what is known of their sessions; in the same order."""
        if not heads:
            return []
        names, marks = _names(heads)
        counts = {
            row[0]: row[1:]
            for row in db.execute(
                f"SELECT session, COUNT(*), COUNT(*) FILTER (WHERE {WAITING}), MIN(created), MAX(expires) FROM nodes "
                f"WHERE tenant = ? AND expires > ? AND session IN ({marks}) GROUP BY session",
                (tenant, now, *names),
            ).fetchall()
        }
        titles = self._titles(db, tenant, heads)
        found = []
        for head in heads:
            if head.session not in counts:  # deleted a moment ago
                continue
            num_nodes, num_waiting, created, expires = counts[head.session]
            _, sid, *_ = head.brief_columns
            brief = self._nodes.brief(*head.brief_columns)
            found.append(
                Session(
                    session=head.session,
                    title=titles.get(head.session) or brief.title,
                    newest=sid,
                    model=head.model,
                    status=Status(head.status),
                    question=brief.question,
                    num_nodes=num_nodes,
                    num_waiting=num_waiting,
                    created=created,
                    updated=head.created,
                    expires=expires,
                )
            )
        return found

    def matching(
        self, db: Connection, tenant: str, heads: Sequence[Head], words: Sequence[str], *, now: float
    ) -> list[Head]:
        """Those in whose title or texts, of any branch, each of the words occurs."""
        if not heads:
            return []
        names, marks = _names(heads)
        texts = {session: [title] for session, title in self._titles(db, tenant, heads).items()}
        sql = f"SELECT session, {BRIEF_COLUMNS} FROM nodes WHERE tenant = ? AND expires > ? AND session IN ({marks})"
        for session, *columns in db.execute(sql, (tenant, now, *names)).fetchall():
            texts.setdefault(session, []).append(self._nodes.brief(*columns).text)
        said = {session: "\n".join(parts).casefold() for session, parts in texts.items()}
        return [head for head in heads if all(word in said.get(head.session, "") for word in words)]

    def rename(self, db: Connection, tenant: str, session: str, title: str, *, now: float) -> bool:
        known = "SELECT 1 FROM nodes WHERE tenant = ? AND session = ? AND expires > ?"
        with db.transaction():
            if db.execute(known, (tenant, session, now)).fetchone() is None:
                return False
            if title:
                sealed = self._payloads.seal_json(title, "title", tenant, session)
                db.execute(_RENAME, (tenant, session, sealed))
            else:
                db.execute("DELETE FROM titles WHERE tenant = ? AND session = ?", (tenant, session))
        return True

    def _titles(self, db: Connection, tenant: str, heads: Sequence[Head]) -> dict[str, str]:
        names, marks = _names(heads)
        sql = f"SELECT session, title FROM titles WHERE tenant = ? AND session IN ({marks})"
        found = {}
        for session, sealed in db.execute(sql, (tenant, *names)).fetchall():
            try:
                found[session] = str(self._payloads.open_json(sealed, "title", tenant, session))
            except CodecError:
                continue  # the one that it has by itself is as good
        return found


def status_values(status: Status | Set[Status]) -> list[str]:
    """One at least: PostgreSQL knows no empty list, and no status is ""."""
    return [status.value] if isinstance(status, Status) else sorted(one.value for one in status) or [""]


def _read_heads(db: Connection, condition: str, given: dict[str, object]) -> list[Head]:
    rows = db.execute(_HEADS % condition, given).fetchall()
    return [Head(seq, session, model, has, created, rest) for seq, session, model, has, created, *rest in rows]


def _names(heads: Sequence[Head]) -> tuple[list[str], str]:
    return [head.session for head in heads], ", ".join("?" * len(heads))
