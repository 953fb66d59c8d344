"""All that is stored, encrypted again with the newest key, while others read and write: the oldest can then be dropped."""

from __future__ import annotations

from typing import NamedTuple

from pir_serve.store.codec import CodecError
from pir_serve.store.connection import Connection, Lanes
from pir_serve.store.payload import Payloads

_AT_ONCE = 64
"""Rows; between batches others have their turn."""


class _Column(NamedTuple):
    table: str
    column: str
    key: tuple[str, ...]
    """Columns that name a row, in the order in which rows are visited."""
    kind: str
    names: str
    """What it was sealed for (`Payloads.seal`), as columns."""


_COLUMNS = (
    _Column("nodes", "payload", ("seq",), "row", "tenant, sid"),
    _Column("nodes", "brief", ("seq",), "brief", "tenant, sid"),
    _Column("titles", "title", ("tenant", "session"), "title", "tenant, session"),
    _Column("responses", "payload", ("seq",), "response", "tenant, id"),
    _Column(
        "response_events",
        "events",
        ("response", "first"),
        "events",
        "(SELECT tenant FROM responses WHERE seq = response), (SELECT id FROM responses WHERE seq = response), first",
    ),
)


async def reseal(lanes: Lanes, payloads: Payloads) -> int:
    """How many values were written anew. What cannot be opened stays as it is.

    Raises: StoreError."""
    total = 0
    for column in _COLUMNS:
        after: tuple[object, ...] | None = None
        while True:
            done, after = await lanes.write(lambda db, c=column, a=after: _batch(db, payloads, c, a))  # type: ignore[misc]
            total += done
            if after is None:
                break
    return total


def _batch(
    db: Connection, payloads: Payloads, c: _Column, after: tuple[object, ...] | None
) -> tuple[int, tuple[object, ...] | None]:
    """How many were written anew, and the key of the last row looked at; None: there are no more."""
    key, marks = ", ".join(c.key), ", ".join("?" * len(c.key))
    where = f"WHERE ({key}) > ({marks})" if after is not None else ""
    sql = f"SELECT {key}, {c.column}, {c.names} FROM {c.table} {where} ORDER BY {key} LIMIT {_AT_ONCE}"
    rows = db.execute(sql, after or ()).fetchall()
    done = 0
    for row in rows:
        place, data, names = row[: len(c.key)], row[len(c.key)], [str(name) for name in row[len(c.key) + 1 :]]
        if data is None or payloads.is_current(data):
            continue
        try:
            plain = payloads.open(data, c.kind, *names)
        except CodecError:
            continue
        same = " AND ".join(f"{name} = ?" for name in (*c.key, c.column))  # unless it was changed meanwhile
        sql = f"UPDATE {c.table} SET {c.column} = ? WHERE {same}"
        done += db.execute(sql, (payloads.seal(plain, c.kind, *names), *place, data)).rowcount
    return done, tuple(rows[-1][: len(c.key)]) if len(rows) == _AT_ONCE else None
