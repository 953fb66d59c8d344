"""What the Responses API keeps, in the same database as the nodes."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from pir_serve.errors import StoreError
from pir_serve.store.codec import CodecError
from pir_serve.store.connection import Connection, Lanes, Owner
from pir_serve.store.payload import Payloads
from pir_serve.store.responses import ResponseRecord, ResponseStatus

logger = logging.getLogger(__name__)

_COLUMNS = ("tenant", "id", "status", "owner", "reason", "created", "expires", "payload")
# A response has an owner while it runs: the process that will end it.
_UPSERT = (
    f"INSERT INTO responses ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT (tenant, id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _COLUMNS[2:])} "
    "WHERE responses.owner IS NOT NULL"
)
_APPEND = "INSERT INTO response_events (response, first, count, events) VALUES (?, ?, ?, ?)"
_LOST = "the gateway was stopped while it made this response"


class ResponseRows:
    """`Responses`; started and closed by the store that it is part of."""

    def __init__(
        self,
        lanes: Lanes,
        make_owner: Callable[[], Owner],
        payloads: Payloads,
        *,
        max_per_tenant: int,
        now: Callable[[], float],
    ) -> None:
        self._lanes = lanes
        self._payloads = payloads
        self._max_per_tenant = max_per_tenant
        self._now = now
        self._make_owner = make_owner
        self._owner = make_owner()
        self.num_evicted = 0

    async def start(self) -> None:
        """Raises: StoreError."""
        self._owner = self._make_owner()
        await self.fail_orphans()

    def close(self) -> None:
        """What still runs is lost from now on. After the lanes, as they may still be writing."""
        self._owner.release()

    async def fail_orphans(self) -> int:
        """Fail what processes were making that are no more; how many responses."""

        def work(db: Connection) -> int:
            owners = [owner for (owner,) in db.execute("SELECT DISTINCT owner FROM responses WHERE owner IS NOT NULL")]
            dead = [owner for owner in owners if self._owner.is_dead(owner)]
            sql = "UPDATE responses SET status = ?, reason = ?, owner = NULL WHERE owner = ?"
            return sum(db.execute(sql, (ResponseStatus.FAILED.value, _LOST, owner)).rowcount for owner in dead)

        failed = await self._lanes.write(work)
        if failed:
            logger.warning("%d responses failed: %s", failed, _LOST)
        return failed

    async def put(self, record: ResponseRecord, *, events: Sequence[bytes] = (), first: int | None = None) -> bool:
        assert first is not None or not events
        row = self._row(record)

        def work(db: Connection) -> tuple[bool, int]:
            if record.status.is_running:
                self._owner.hold()  # before the first response that others could take for lost
            with db.transaction():
                if not db.execute(_UPSERT, row).rowcount:
                    return False, 0
                seq, _ = _place(db, record.tenant, record.id)
                self._append(db, seq, (record.tenant, record.id), events, first or 0)
                return True, self._evict(db, record.tenant, seq)

        is_written, evicted = await self._lanes.write(work)
        if evicted:
            self.num_evicted += evicted
            logger.debug("dropped %d responses: a tenant has more than %d", evicted, self._max_per_tenant)
        return is_written

    async def get(self, tenant: str, response_id: str) -> ResponseRecord | None:
        """Raises: StoreError, also where the row is there but cannot be read."""
        sql = f"SELECT {', '.join(_COLUMNS)} FROM responses WHERE tenant = ? AND id = ? AND expires > ?"
        parameters = (tenant, response_id, self._now())
        return await self._lanes.read(
            lambda db: self._record(row) if (row := db.execute(sql, parameters).fetchone()) else None
        )

    async def delete(self, tenant: str, response_id: str) -> bool:
        sql = "DELETE FROM responses WHERE tenant = ? AND id = ? AND expires > ?"
        return await self._lanes.write(lambda db: db.execute(sql, (tenant, response_id, self._now())).rowcount > 0)

    async def append(self, tenant: str, response_id: str, events: Sequence[bytes], *, first: int) -> bool:
        def work(db: Connection) -> bool:
            with db.transaction():
                seq, is_running = _place(db, tenant, response_id)
                if not is_running:
                    return False
                self._append(db, seq, (tenant, response_id), events, first)
                return True

        return await self._lanes.write(work)

    async def events(
        self, tenant: str, response_id: str, *, after: int = -1, limit: int = 1000
    ) -> list[tuple[int, bytes]]:
        sql = (
            "SELECT first, events FROM response_events WHERE response = "
            "(SELECT seq FROM responses WHERE tenant = ? AND id = ? AND expires > ?) "
            "AND first + count - 1 > ? ORDER BY first LIMIT ?"
        )

        def work(db: Connection) -> list[tuple[int, bytes]]:
            found: list[tuple[int, bytes]] = []
            with closing(db.execute(sql, (tenant, response_id, self._now(), after, limit))) as rows:
                for first, data in rows:
                    batch = self._open_events(data, first, (tenant, response_id))
                    found += [(number, event) for number, event in enumerate(batch, first) if number > after]
                    if len(found) >= limit:
                        break
            return found[:limit]

        return await self._lanes.read(work)

    def _append(self, db: Connection, seq: int, place: tuple[str, str], events: Sequence[bytes], first: int) -> None:
        """Raises: StoreError, where events are missing before `first`."""
        sql = "SELECT MAX(first + count) FROM response_events WHERE response = ?"
        there = db.execute(sql, (seq,)).fetchone()[0] or 0
        if events and first > there:
            raise StoreError(f"events {there} to {first - 1} of {place[1]} were never stored")
        if new := events[there - first :]:
            sealed = self._payloads.seal(_pack(new), "events", *place, str(there))
            db.execute(_APPEND, (seq, there, len(new), sealed))

    def _open_events(self, data: object, first: int, place: tuple[str, str]) -> list[bytes]:
        try:
            return _unpack(self._payloads.open(data, "events", *place, str(first)))
        except (CodecError, struct.error) as error:
            raise StoreError(f"the events of {place[1]} are stored but cannot be read: {error}") from error

    def _evict(self, db: Connection, tenant: str, newest: int) -> int:
        """Drop the oldest that have ended, by arrival; how many."""
        count = "SELECT COUNT(*) FROM responses WHERE tenant = ?"
        if db.execute(count, (tenant,)).fetchone()[0] <= self._max_per_tenant:
            return 0
        db.lock(f"responses of {tenant}")
        left = db.execute(count, (tenant,)).fetchone()[0]  # who held the lock may have dropped some
        oldest = "SELECT seq FROM responses WHERE tenant = ? AND owner IS NULL AND seq <> ? ORDER BY seq LIMIT ?"
        sql = f"DELETE FROM responses WHERE seq IN ({oldest})"
        return int(db.execute(sql, (tenant, newest, max(0, left - self._max_per_tenant))).rowcount)

    def _row(self, r: ResponseRecord) -> tuple[object, ...]:
        document = {"body": r.body, "input": r.input, "conversation": r.conversation, "sid": r.sid}
        owner = self._owner.id if r.status.is_running else None
        payload = self._payloads.seal_json(document, "response", r.tenant, r.id)
        return (r.tenant, r.id, r.status.value, owner, r.reason, r.created, r.expires, payload)

    def _record(self, row: Sequence[Any]) -> ResponseRecord:
        tenant, response_id, status, _, reason, created, expires, payload = row
        try:
            document = self._payloads.open_json(payload, "response", tenant, response_id)
            return ResponseRecord(
                id=response_id,
                tenant=tenant,
                status=ResponseStatus(status),
                body=document["body"],
                input=tuple(document["input"]),
                conversation=tuple(document["conversation"]),
                sid=document["sid"],
                created=created,
                expires=expires,
                reason=reason,
            )
        except (CodecError, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{response_id} is stored but cannot be read: {error}") from error


def _place(db: Connection, tenant: str, response_id: str) -> tuple[int, bool]:
    """Its row id, and whether it runs; of one that is not there, no row id and False."""
    sql = f"SELECT seq, owner IS NOT NULL FROM responses WHERE tenant = ? AND id = ? {db.FOR_UPDATE}"
    row = db.execute(sql, (tenant, response_id)).fetchone()
    return (0, False) if row is None else (int(row[0]), bool(row[1]))


def _pack(events: Sequence[bytes]) -> bytes:
    """How many, the length of each, then all end to end."""
    return struct.pack(f"<{len(events) + 1}I", len(events), *map(len, events)) + b"".join(events)


def _unpack(data: bytes) -> list[bytes]:
    """Raises: struct.error."""
    (count,) = struct.unpack_from("<I", data)
    *lengths, at = *struct.unpack_from(f"<{count}I", data, 4), 4 + 4 * count
    events = []
    for length in lengths:
        events.append(data[at : at + length])
        at += length
    if at != len(data):
        raise struct.error("the lengths of its events do not add up")
    return events
