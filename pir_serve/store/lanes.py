"""SQLite's lanes: two threads with a connection each, one that writes and one that reads."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pir_serve.errors import StoreError
from pir_serve.store.connection import Connection, Observe, ignore
from pir_serve.store.schema import MEMORY, SqliteConnection, connect, prepare

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MIGRATION_TIMEOUT_S = 60.0
"""How long a start waits for another process that is creating or migrating the tables."""


class SqliteLanes:
    """`Lanes` of the database file `path` (":memory:" for one that dies with the lanes)."""

    def __init__(self, path: str, *, busy_timeout_s: float) -> None:
        self.observe: Observe = ignore
        self._path = path
        self._busy_timeout_s = busy_timeout_s
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

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Raises: StoreError, where the lanes are not started or the database fails."""
        return await self._run("read", self._reader, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Raises: StoreError, as `read`."""
        return await self._run("write", self._writer, work)

    async def aclose(self) -> None:
        """Finish what was begun and close the file. The lanes can be started again."""
        lanes = {lane for lane in (self._writer, self._reader) if lane is not None}
        self._writer = self._reader = None
        for lane in lanes:
            await lane.aclose()

    async def _run(self, operation: str, lane: _Lane | None, work: Callable[[Connection], T]) -> T:
        if lane is None:
            raise StoreError("the store of trajectories is not open")
        began, failed = time.perf_counter(), False
        try:
            return await lane.run(work)
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            failed = True
            logger.error("store %s: %s", self._path, error)
            raise StoreError(f"the store of trajectories cannot be used: {error}") from error
        finally:
            self.observe(operation, time.perf_counter() - began, failed)

    def _open(self, read_only: bool) -> SqliteConnection:
        db = connect(self._path, busy_timeout_s=_MIGRATION_TIMEOUT_S, read_only=read_only)
        try:
            if not read_only:
                prepare(db, self._path)
            db.execute(f"PRAGMA busy_timeout={round(1000 * self._busy_timeout_s)}")
        except BaseException:
            db.close()
            raise
        return db


class _Lane:
    """A thread with a connection of its own, which no other thread may touch."""

    def __init__(self, name: str, connect: Callable[[], SqliteConnection]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connect = connect
        self._db: SqliteConnection | None = None

    async def run(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[Connection], T]) -> T:
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
