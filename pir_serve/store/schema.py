"""The database file: opening it, its settings, its tables, and the steps that bring an older one up to date."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlite_utils import Database

from pir_serve.errors import ConfigError, StoreError

APPLICATION_ID = 0x50495231
"""`PRAGMA application_id` of our files ("PIR1"): somebody else's database is refused, not written into."""
MEMORY = ":memory:"
WAITING = "status = 'awaiting_user'"
"""In these words, as a partial index serves only queries that repeat its condition."""


class SqliteConnection(Database):
    """`Connection`."""

    FOR_UPDATE = ""
    """One writes at a time."""

    def transaction(self, kind: str = "IMMEDIATE") -> AbstractContextManager[None]:
        """IMMEDIATE takes the write lock at once, where waiting for it works; an upgrade would fail."""
        return _transaction(self, kind)

    def unflushed(self) -> AbstractContextManager[None]:
        return _unflushed(self)

    def lock(self, name: str) -> None:
        """A transaction that writes has the whole file for itself."""

    def num_bytes(self) -> int | None:
        """Of the file and of what is not yet merged into it."""
        path = self.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()[0]
        files = (Path(path), Path(f"{path}-wal"))
        return sum(file.stat().st_size for file in files if file.exists()) if path else None


def connect(path: str, *, busy_timeout_s: float, read_only: bool = False) -> SqliteConnection:
    """A connection for the calling thread, in autocommit mode.

    Raises:
        sqlite3.Error, OSError: the file cannot be opened.
    """
    if path != MEMORY:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # What people wrote is in there: for the owner only. SQLite gives the -wal and -shm files the same mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    try:
        db = SqliteConnection(connection, recursive_triggers=False, execute_plugins=False)
        # FULL: a commit is on the disk when it returns. WAL's usual NORMAL may lose the last ones with the power.
        db.execute("PRAGMA synchronous=FULL")
        if read_only:
            db.execute("PRAGMA query_only=ON")
    except BaseException:
        connection.close()
        raise
    return db


def prepare(db: SqliteConnection, path: str) -> None:
    """Create or migrate the tables and switch to WAL; several processes may do so at once.

    Raises:
        ConfigError: the file is another program's, or a newer version wrote it.
        StoreError: its file system cannot do WAL.
        sqlite3.Error: locked for longer than the timeout, damaged, not a database.
    """
    with db.transaction("DEFERRED"):
        version = _version(db, path)
    db.enable_wal()
    if path != MEMORY and db.journal_mode != "wal":
        raise StoreError(f"{path} cannot be used: its file system does not support SQLite's WAL (a network share?)")
    if version == len(MIGRATIONS):
        return
    with db.transaction():
        # Asked again, now that we hold the lock: another process may have been quicker.
        for step in MIGRATIONS[_version(db, path) :]:
            step(db)
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


@contextmanager
def _transaction(db: Database, kind: str) -> Iterator[None]:
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


@contextmanager
def _unflushed(db: Database) -> Iterator[None]:
    """The next commit outside flushes those within too."""
    db.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        db.execute("PRAGMA synchronous=FULL")


def _version(db: Database, path: str) -> int:
    """How many migrations the file has seen; within a transaction, as it asks twice. Raises: ConfigError."""
    application_id, version = (int(db.execute(f"PRAGMA {k}").fetchone()[0]) for k in ("application_id", "user_version"))
    if application_id != APPLICATION_ID and (application_id or version or db.table_names()):
        raise ConfigError(f"{path} is the database of another program; give the store a path of its own")
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"{path} was written by a newer version (schema {version}, this one knows {len(MIGRATIONS)}); "
            "upgrade, or give the store another path"
        )
    return version


def _create_suspensions(db: Database) -> None:
    table = db.table("suspensions")
    text_columns = (
        "tenant", "sid", "transcript_key", "question_key", "system_key", "scope", "session", "model", "digest",
    )  # fmt: skip
    other_columns = {"parent": str, "created": float, "expires": float, "payload": bytes}
    table.create(
        {"seq": int, **dict.fromkeys(text_columns, str), **other_columns},
        pk="seq",
        not_null={*text_columns, "created", "expires", "payload"},
    )
    table.create_index(["tenant", "sid"], unique=True)
    # An index ends with the row id, so equal keys come out in order of arrival whatever the clock did meanwhile.
    for columns in (["tenant"], ["tenant", "transcript_key"], ["tenant", "question_key"], ["expires"]):
        table.create_index(columns)


def _keep_finished_and_responses(db: Database) -> None:
    """Suspensions become nodes of any status; titles, and what the Responses API keeps, come beside them."""
    _create_nodes(db)
    kept = ", ".join(db.table("suspensions").columns_dict)
    db.execute(f"INSERT INTO nodes ({kept}, status) SELECT {kept}, 'awaiting_user' FROM suspensions")
    db.table("suspensions").drop()
    db.table("titles").create(
        {"tenant": str, "session": str, "title": bytes}, pk=("tenant", "session"), not_null={"title"}
    )
    db.execute(
        "CREATE TRIGGER titles_end AFTER DELETE ON nodes WHEN NOT EXISTS "
        "(SELECT 1 FROM nodes WHERE tenant = old.tenant AND session = old.session) "
        "BEGIN DELETE FROM titles WHERE tenant = old.tenant AND session = old.session; END"
    )
    _create_responses(db)


def _create_nodes(db: Database) -> None:
    text_columns = (
        "tenant", "sid", "status", "transcript_key", "question_key", "system_key", "scope", "session", "model",
        "digest",
    )  # fmt: skip
    # The payload last: what stands before it is read without it.
    other_columns = {"parent": str, "created": float, "expires": float, "brief": bytes, "payload": bytes}
    table = db.table("nodes")
    table.create(
        {"seq": int, **dict.fromkeys(text_columns, str), **other_columns},
        pk="seq",
        not_null={*text_columns, "created", "expires", "payload"},
    )
    table.create_index(["tenant", "sid"], unique=True)
    # To tell whether a node is its session's newest, the index has to be enough: a row is a page of its own.
    for columns in (["tenant"], ["tenant", "session", "seq", "expires"], ["tenant", "status"], ["expires"]):
        table.create_index(columns)
    # The finished are never looked up by text, and the first to go when a tenant has too many.
    for key in ("transcript_key", "question_key"):
        db.execute(f"CREATE INDEX waiting_by_{key} ON nodes (tenant, {key}) WHERE {WAITING}")
    db.execute(f"CREATE INDEX finished ON nodes (tenant) WHERE NOT ({WAITING})")


def _create_responses(db: Database) -> None:
    table = db.table("responses")
    table.create(
        {
            **{"seq": int, "tenant": str, "id": str, "status": str, "owner": str, "reason": str},
            **{"created": float, "expires": float, "payload": bytes},
        },
        pk="seq",
        not_null={"tenant", "id", "status", "created", "expires", "payload"},
    )
    table.create_index(["tenant", "id"], unique=True)
    for columns in (["tenant"], ["expires"]):
        table.create_index(columns)
    db.execute("CREATE INDEX running ON responses (owner) WHERE owner IS NOT NULL")
    db.table("response_events").create(
        {"response": int, "first": int, "count": int, "events": bytes},
        pk=("response", "first"),
        not_null={"count", "events"},
    )
    db.execute(
        "CREATE TRIGGER response_events_end AFTER DELETE ON responses "
        "BEGIN DELETE FROM response_events WHERE response = old.seq; END"
    )


def _create_api_keys(db: Database) -> None:
    db.table("api_keys").create(
        {"id": str, "hash": str, "tenant": str, "name": str, "limits": str, "created": float, "revoked": float},
        pk="id",
        not_null={"hash", "tenant", "name", "limits", "created"},
    )
    db.table("api_keys").create_index(["hash"], unique=True)


def _create_tallies(db: Database) -> None:
    db.table("tallies").create({"owner": str, "at": float, "body": str}, pk="owner", not_null={"at", "body"})


MIGRATIONS: tuple[Callable[[Database], None], ...] = (
    _create_suspensions,
    _keep_finished_and_responses,
    _create_api_keys,
    _create_tallies,
)
"""Forward only, and never edited once released: a file's `user_version` is how many of them it has seen."""
