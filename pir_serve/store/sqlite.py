"""Suspensions in an SQLite file: one thread writes, one reads, and the event loop waits for neither.

Several gateway processes may share the file. A row has what lookups need in columns and the rest in one compressed
payload (`codec`), which is also encrypted when the store is given a `Sealer`.
"""

from __future__ import annotations

import asyncio
import builtins
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from pir_serve.errors import StoreError
from pir_serve.store import codec
from pir_serve.store.base import Suspension
from pir_serve.store.schema import MEMORY, connect, prepare, transaction
from pir_serve.store.sealed import Sealer

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FIELD_COLUMNS = (
    "tenant", "sid", "transcript_key", "question_key", "system_key", "scope", "model", "digest", "parent", "created",
    "expires",
)  # fmt: skip
"""Fields of `Suspension` that are columns; the rest is in the payload."""
_COLUMNS = (*_FIELD_COLUMNS, "session", "payload")
_INSERT = (
    f"INSERT INTO suspensions ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (tenant, sid) DO NOTHING"
)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM suspensions WHERE "
_EXPIRE_BATCH = 256
_MIGRATION_TIMEOUT_S = 60.0
"""How long a start waits for another process that is creating or migrating the tables."""
_SEALED = b"PE"
"""Begins a payload that is encrypted; a plain one begins with the codec's magic."""


class SqliteStore:
    """`Store` in the file `path` (":memory:" for a store that dies with its process).

    `max_per_tenant` suspensions are kept of each tenant; a further one drops the oldest. `now` tells Unix seconds.
    With a `sealer` what people and the model wrote is encrypted at rest; ids, times and keyed hashes are not.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        sealer: Sealer | None = None,
        max_per_tenant: int = 10_000,
        busy_timeout_s: float = 5.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = str(path)
        self._sealer = sealer
        self._max_per_tenant = max_per_tenant
        self._busy_timeout_s = busy_timeout_s
        self._now = now
        self._writer: _Lane | None = None
        self._reader: _Lane | None = None

    async def start(self) -> None:
        """Open the file, creating or migrating it. Raises: StoreError, ConfigError."""
        self._writer = self._reader = _Lane("pir-store-write", lambda: self._open(read_only=False))
        try:
            await self._writer.run(lambda _: None)
            if self._path != MEMORY:  # which is there once per connection
                self._reader = _Lane("pir-store-read", lambda: self._open(read_only=True))
                await self._reader.run(lambda _: None)
        except (sqlite3.Error, OSError) as error:
            await self.aclose()
            raise StoreError(f"cannot open the store {self._path}: {error}") from error
        except BaseException:
            await self.aclose()
            raise

    async def put(self, suspension: Suspension) -> None:
        """Raises: StoreError, also where another suspension has this id."""
        if not await self._run(self._writer, lambda db: _insert(db, self._row(suspension), self._max_per_tenant)):
            # Written before: a retry whose first attempt was not acknowledged, or two different ones with one id.
            rows = await self._select("tenant = ? AND sid = ?", (suspension.tenant, suspension.sid), strict=True)
            if rows != [suspension]:
                raise StoreError(f"another suspension is stored as {suspension.sid}")

    async def get(self, tenant: str, sid: str) -> Suspension | None:
        """Raises: StoreError, also where the row is there but cannot be read."""
        rows = await self._select("tenant = ? AND sid = ? AND expires > ?", (tenant, sid, self._now()), strict=True)
        return rows[0] if rows else None

    async def find_by_transcript(
        self, tenant: str, transcript_key: str, *, scope: str | None = None, limit: int = 32
    ) -> list[Suspension]:
        return await self._newest(limit, tenant, transcript_key=transcript_key, scope=scope)

    async def find_by_question(
        self, tenant: str, question_key: str, *, scope: str | None = None, limit: int = 32
    ) -> list[Suspension]:
        return await self._newest(limit, tenant, question_key=question_key, scope=scope)

    async def _newest(self, limit: int, tenant: str, **wanted: str | None) -> list[Suspension]:
        given = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(["tenant = ?", *(f"{column} = ?" for column in given), "expires > ?"])
        return await self._select(
            f"{where} ORDER BY seq DESC LIMIT ?", (tenant, *given.values(), self._now(), limit), strict=False
        )

    async def _select(self, where: str, parameters: Sequence[object], *, strict: bool) -> list[Suspension]:
        """One that cannot be read fails the call if `strict`; else it is logged and left out."""

        def work(db: Database) -> list[Suspension]:
            found = []
            for row in db.execute(_SELECT + where, parameters).fetchall():
                try:
                    found.append(self._suspension(row))
                except StoreError as error:
                    if strict:
                        raise
                    logger.error("left out: %s", error)
            return found

        return await self._run(self._reader, work)

    async def list(self, tenant: str, limit: int = 100, before: float | None = None) -> builtins.list[Suspension]:
        """Newest first; only those created before `before` (Unix seconds) unless it is None."""
        where = "tenant = ? AND expires > ? AND created < ? ORDER BY seq DESC LIMIT ?"
        parameters = (tenant, self._now(), math.inf if before is None else before, limit)
        return await self._select(where, parameters, strict=False)

    async def count(self, tenant: str | None = None) -> int:
        """Of one tenant, or of all; what has expired does not count."""
        sql = "SELECT COUNT(*) FROM suspensions WHERE expires > ?" + " AND tenant = ?" * (tenant is not None)
        parameters = (self._now(),) if tenant is None else (self._now(), tenant)
        return await self._run(self._reader, lambda db: int(db.execute(sql, parameters).fetchone()[0]))

    async def delete(self, tenant: str, sid: str) -> bool:
        sql = "DELETE FROM suspensions WHERE tenant = ? AND sid = ? AND expires > ?"
        return await self._run(self._writer, lambda db: db.execute(sql, (tenant, sid, self._now())).rowcount > 0)

    async def expire(self, now: float) -> int:
        """Delete what has expired by `now`, in batches between which others can write; how many."""
        some = f"SELECT seq FROM suspensions WHERE expires <= ? LIMIT {_EXPIRE_BATCH}"
        sql = f"DELETE FROM suspensions WHERE seq IN ({some})"
        total = 0
        while deleted := await self._run(self._writer, lambda db: db.execute(sql, (now,)).rowcount):
            total += deleted
        return total

    async def aclose(self) -> None:
        """Finish what was begun and close the file. The store can be started again."""
        lanes = {lane for lane in (self._writer, self._reader) if lane is not None}
        self._writer = self._reader = None
        for lane in lanes:
            await lane.aclose()

    async def _run(self, lane: _Lane | None, work: Callable[[Database], T]) -> T:
        if lane is None:
            raise StoreError("the store of suspended trajectories is not open")
        try:
            return await lane.run(work)
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            logger.error("store %s: %s", self._path, error)
            raise StoreError(f"the store of suspended trajectories cannot be used: {error}") from error

    def _open(self, read_only: bool) -> Database:
        db = connect(self._path, busy_timeout_s=_MIGRATION_TIMEOUT_S, read_only=read_only)
        try:
            if not read_only:
                prepare(db, self._path)
            db.execute(f"PRAGMA busy_timeout={round(1000 * self._busy_timeout_s)}")
        except BaseException:
            db.close()
            raise
        return db

    def _row(self, s: Suspension) -> tuple[object, ...]:
        payload = codec.dump(s.trajectory, {"request": s.request, "message_keys": s.message_keys})
        if self._sealer is not None:
            payload = _SEALED + self._sealer.wrap(payload, _row_context(s.tenant, s.sid))
        columns = (getattr(s, c) for c in _FIELD_COLUMNS)
        return (*columns, s.trajectory.session, payload)

    def _suspension(self, row: Sequence[Any]) -> Suspension:
        """Raises: StoreError, where the payload is damaged or sealed with a key that we do not have."""
        *columns, _, payload = row
        fields = dict(zip(_FIELD_COLUMNS, columns, strict=True))
        try:
            if payload[:2] == _SEALED:
                context = _row_context(fields["tenant"], fields["sid"])
                payload = self._sealer and self._sealer.unwrap(payload[2:], context)
                if payload is None:
                    raise codec.CodecError("it is encrypted, and with none of the keys given")
            trajectory, extra = codec.load(payload)
            request, message_keys = extra["request"], tuple(extra["message_keys"])
        except (codec.CodecError, KeyError, TypeError) as error:
            raise StoreError(f"suspension {fields['sid']} cannot be read: {error}") from error
        return Suspension(trajectory=trajectory, request=request, message_keys=message_keys, **fields)


class _Lane:
    """A thread with a connection of its own, which no other thread may touch."""

    def __init__(self, name: str, connect: Callable[[], Database]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connect = connect
        self._db: Database | None = None

    async def run(self, work: Callable[[Database], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[Database], T]) -> T:
        if self._db is None:
            self._db = self._connect()
        return work(self._db)

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def _insert(db: Database, row: Sequence[object], max_per_tenant: int) -> bool:
    """Whether the row is new. Makes room for it by dropping the tenant's oldest, by arrival: clocks may jump."""
    beyond = "SELECT seq FROM suspensions WHERE tenant = ? ORDER BY seq DESC LIMIT -1 OFFSET ?"
    with transaction(db):
        is_new: bool = db.execute(_INSERT, row).rowcount > 0
        dropped = db.execute(f"DELETE FROM suspensions WHERE seq IN ({beyond})", (row[0], max_per_tenant)).rowcount
    if dropped:
        logger.warning("dropped %d suspensions: a tenant has more than %d", dropped, max_per_tenant)
    return is_new


def _row_context(tenant: str, sid: str) -> bytes:
    """Binds an encrypted payload to its row, so that rows cannot be swapped."""
    return b"pir row\0" + f"{tenant}\0{sid}".encode("utf-8", "surrogatepass")
