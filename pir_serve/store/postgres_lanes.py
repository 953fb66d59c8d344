"""PostgreSQL's lanes: a few threads over a pool of connections, and signs of life that the server keeps."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo
from psycopg_pool import ConnectionPool

from pir_serve.errors import ConfigError, StoreError
from pir_serve.store.connection import Connection, Observe, Values, ignore
from pir_serve.store.postgres_schema import prepare

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECTIONS = 4
"""Of each process: enough for thousands of writes a second, and a server takes a hundred."""
_CONNECT_S = 10


def checked(address: str) -> str:
    """Raises: ConfigError. What it says never holds the password."""
    try:
        conninfo.conninfo_to_dict(address)
    except psycopg.Error:
        raise ConfigError("the database's address must look like postgresql://user:password@host/database") from None
    return address


class PostgresConnection:
    """`Connection`."""

    FOR_UPDATE = "FOR UPDATE"

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._is_unflushed = False

    def execute(self, sql: str, values: Values = ()) -> Any:
        if isinstance(values, Mapping):
            return self._connection.execute(_named(sql), {name: _text(value) for name, value in values.items()})
        return self._connection.execute(_numbered(sql), [_text(value) for value in values])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            if self._is_unflushed:
                self._connection.execute("SET LOCAL synchronous_commit = off")
            yield

    def unflushed(self) -> AbstractContextManager[None]:
        return self._unflushed()

    @contextmanager
    def _unflushed(self) -> Iterator[None]:
        self._is_unflushed = True
        try:
            yield
        finally:
            self._is_unflushed = False

    def lock(self, name: str) -> None:
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (name,))

    def num_bytes(self) -> int | None:
        sql = "SELECT SUM(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
        return int(self.execute(f"{sql} current_schema()::regnamespace").fetchone()[0])


class PostgresLanes:
    """`Lanes`."""

    def __init__(self, address: str, schema: str, *, timeout_s: float) -> None:
        self.observe: Observe = ignore
        self._address = address
        self._schema = schema
        self._timeout_s = timeout_s
        self._threads: ThreadPoolExecutor | None = None
        self._pool: ConnectionPool[psycopg.Connection[Any]] | None = None

    async def start(self) -> None:
        try:
            await asyncio.to_thread(self._open)
        except psycopg.Error as error:
            raise StoreError(f"cannot open the store in PostgreSQL: {str(error).strip()}") from error

    def _open(self) -> None:
        path, limit = f"-c search_path={self._schema}", f"-c statement_timeout={round(1000 * self._timeout_s)}"
        address = conninfo.make_conninfo(self._address, connect_timeout=_CONNECT_S, application_name="pir")
        with psycopg.connect(address, autocommit=True, options=path) as connection:
            prepare(connection, self._schema)
        kwargs = {"autocommit": True, "options": f"{path} {limit}"}
        self._pool = ConnectionPool(address, min_size=1, max_size=_CONNECTIONS, kwargs=kwargs, open=True)
        self._threads = ThreadPoolExecutor(_CONNECTIONS, "pir-store")

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._run("read", work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._run("write", work)

    async def aclose(self) -> None:
        threads, pool, self._threads, self._pool = self._threads, self._pool, None, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
        if pool is not None:
            await asyncio.to_thread(pool.close)

    async def _run(self, operation: str, work: Callable[[Connection], T]) -> T:
        if self._threads is None or self._pool is None:
            raise StoreError("the store of trajectories is not open")
        began, failed = time.perf_counter(), True
        try:
            # A server that is stopped, or whose host is gone, does not even say no.
            async with asyncio.timeout(self._timeout_s):
                done = await asyncio.get_running_loop().run_in_executor(self._threads, self._work, self._pool, work)
            failed = False
            return done
        except (psycopg.Error, UnicodeError, OverflowError, TimeoutError) as error:
            words = str(error).strip() or f"no answer within {self._timeout_s:g} s"
            logger.error("store: %s", words)
            raise StoreError(f"the store of trajectories cannot be used: {words}") from error
        finally:
            self.observe(operation, time.perf_counter() - began, failed)

    def _work(self, pool: ConnectionPool[psycopg.Connection[Any]], work: Callable[[Connection], T]) -> T:
        """All that rows do can be done twice, so a connection that broke meanwhile (the server was restarted) is no
        error."""
        connection = None
        try:
            with pool.connection(self._timeout_s) as connection:
                return work(PostgresConnection(connection))
        except psycopg.OperationalError:
            if connection is None or not connection.broken:
                raise
        pool.check()
        with pool.connection(self._timeout_s) as connection:
            return work(PostgresConnection(connection))


class PostgresOwner:
    """`Owner`: this process, for as long as its own connection holds a lock, which the server lets go when it ends."""

    def __init__(self, address: str) -> None:
        self.id = secrets.token_hex(8)
        self._address = address
        self._connection: psycopg.Connection[Any] | None = None
        self._holds = False
        self._guard = threading.Lock()

    def hold(self) -> None:
        with self._guard:
            with suppress(psycopg.OperationalError):  # then it is closed, and its lock lost
                self._connected().execute("SELECT 1")
            connection = self._connected()
            if not self._holds:
                connection.execute("SELECT pg_advisory_lock(%s)", (_number(self.id),))
                self._holds = True

    def release(self) -> None:
        with self._guard:
            self._holds = False
            if self._connection is not None:
                self._connection.close()

    def is_dead(self, other: str) -> bool:
        if other == self.id:
            return False
        with self._guard:
            connection = self._connected()
            if not connection.execute("SELECT pg_try_advisory_lock(%s)", (_number(other),)).fetchone()[0]:  # type: ignore[index]
                return False
            connection.execute("SELECT pg_advisory_unlock(%s)", (_number(other),))
        return True

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self._address, autocommit=True, connect_timeout=_CONNECT_S)
            self._holds = False
        return self._connection


def _number(owner: str) -> int:
    """Of a lock; an id is 64 bits."""
    return int.from_bytes(bytes.fromhex(owner), signed=True)


def _text(value: object) -> object:
    """PostgreSQL's text holds no NUL, and clients send what they like."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


@lru_cache(512)
def _numbered(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


@lru_cache(512)
def _named(sql: str) -> str:
    return re.sub(r"(?<!:):([a-z_]\w*)", r"%(\1)s", sql.replace("%", "%%"))
