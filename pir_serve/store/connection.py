"""What the rows of a store need of a database, so that SQLite and PostgreSQL run the same statements.

SQL is written in what both understand, with `?` (or `:name`) where a value goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Observe = Callable[[str, float, bool], None]
"""Told of each operation: `read` or `write`, seconds, and whether it failed."""
Values = Sequence[object] | Mapping[str, object]


class Connection(Protocol):
    """Of one thread, in autocommit mode."""

    FOR_UPDATE: str
    """Ends a SELECT within a transaction whose row nobody else may change until it has ended."""

    def execute(self, sql: str, values: Values = ()) -> Any:
        """A cursor (DB-API)."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing."""

    def unflushed(self) -> AbstractContextManager[None]:
        """Commits within survive the end of this process, but perhaps not that of the machine: they do not wait for
        the disk."""

    def lock(self, name: str) -> None:
        """Within a transaction, until it has ended: whoever else locks this name waits."""

    def num_bytes(self) -> int | None:
        """On disk; None where that is not known."""


class Lanes(Protocol):
    """Threads with connections: the event loop waits for none. All raise StoreError."""

    observe: Observe

    async def start(self) -> None:
        """Open the database, creating or migrating it. Raises: ConfigError too."""

    async def read(self, work: Callable[[Connection], T]) -> T: ...

    async def write(self, work: Callable[[Connection], T]) -> T: ...

    async def aclose(self) -> None:
        """Finish what was begun. The lanes can be started again."""


class Owner(Protocol):
    """This process, as others see it; called in the lanes' threads."""

    id: str

    def hold(self) -> None:
        """Show a sign of life from now on, once and for all. Raises: StoreError."""

    def release(self) -> None: ...

    def is_dead(self, other: str) -> bool:
        """Whether the process with this id is no more."""


def ignore(operation: str, took_s: float, failed: bool) -> None:
    """Of `Lanes.observe`, where nobody wants to know."""
