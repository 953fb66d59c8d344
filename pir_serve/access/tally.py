"""What processes that share a store tell each other: how much of each key's limits they have used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Spent(NamedTuple):
    """By one key, of one kind of limit."""

    total: float
    """By the writer alone, since it began to count."""
    missing: float
    """From a full minute's worth, whoever used it, as far as the writer knows; more than that in debt."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one process; a new one replaces the one before."""

    owner: str
    beat: int
    """Rises with each, so that who reads notices a sign of life by their own clock."""
    at: float
    """Unix seconds."""
    spent: Mapping[str, Mapping[str, Spent]] = field(default_factory=dict)
    """By kind of limit (`requests`, `tokens`), then by id of the key. What is not here is refilled."""
    streams: Mapping[str, int] = field(default_factory=dict)
    """Replies being generated, by id of the key."""


class Tallies(Protocol):
    """The part of a store that keeps them. All methods raise StoreError when the database cannot be used."""

    async def put(self, tally: Tally, *, oldest: float) -> None:
        """Those of before `oldest` (Unix seconds) are dropped, whosever they are."""

    async def others(self, owner: str) -> list[Tally]:
        """Of all but `owner`; what cannot be read, of another version perhaps, is left out."""
