"""Tallies as rows, one a process: each writes its own and reads the others', so nobody waits for anybody."""

from __future__ import annotations

import json
import logging

from pir_serve.access.tally import Spent, Tally
from pir_serve.store.connection import Connection, Lanes

logger = logging.getLogger(__name__)

_UPSERT = (
    "INSERT INTO tallies (owner, at, body) VALUES (?, ?, ?) "
    "ON CONFLICT (owner) DO UPDATE SET at = excluded.at, body = excluded.body"
)


class TallyRows:
    """`Tallies`."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    async def put(self, tally: Tally, *, oldest: float) -> None:
        body = json.dumps({"beat": tally.beat, "spent": tally.spent, "streams": tally.streams})

        def work(db: Connection) -> None:
            with db.unflushed(), db.transaction():
                db.execute(_UPSERT, (tally.owner, tally.at, body))
                db.execute("DELETE FROM tallies WHERE at < ?", (oldest,))

        await self._lanes.write(work)

    async def others(self, owner: str) -> list[Tally]:
        sql = "SELECT owner, at, body FROM tallies WHERE owner <> ?"
        rows = await self._lanes.read(lambda db: db.execute(sql, (owner,)).fetchall())
        return [tally for row in rows if (tally := _tally(*row)) is not None]


def _tally(owner: str, at: float, body: str) -> Tally | None:
    try:
        document = json.loads(body)
        spent = {
            kind: {key: Spent(float(total), float(missing)) for key, (total, missing) in keys.items()}
            for kind, keys in document["spent"].items()
        }
        streams = {key: int(count) for key, count in document["streams"].items()}
        return Tally(owner, int(document["beat"]), at, spent, streams)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.debug("the tally of %s is left out: %s", owner, error)
        return None
