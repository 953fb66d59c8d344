"""Suspended trajectories: put, find, expire.

A suspension is an immutable node; resuming copies it and never consumes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pir_serve.trajectory import Trajectory


@dataclass(frozen=True, slots=True)
class Suspension:
    """One trajectory that awaits its user, with all that finding and resuming it takes."""

    sid: str
    """`pir_` and 22+ url-safe random characters; at most 40 with the prefix `call_`."""
    tenant: str
    scope: str
    """Conversation hint of the client ("" if none); narrows lookups by text."""
    model: str
    digest: str
    """Of model, tokenizer and template: a suspension of another model is never resumed."""
    trajectory: Trajectory
    """Status `awaiting_user`; its ids end with the ask's closing tag."""
    request: dict[str, Any]
    """Sampling parameters and policy of the request that began it (JSON types); reused on resume unless overridden."""
    transcript_key: str
    """Keyed hash of the canonical visible user/assistant text up to and including the question (ladder rung 4)."""
    question_key: str
    """Keyed hash of the canonical question alone (rung 5)."""
    message_keys: tuple[str, ...]
    """Keyed hash of each visible message before the question, and of the lines of the last (`pir_serve.resume.Keys`):
    whether a request's history can be this one, where the client changed it (rung 5)."""
    system_key: str
    """Keyed hash of the system text, "" if there was none: the second discriminator."""
    parent: str | None
    """The suspension this one grew from, if its leg began with a response."""
    created: float
    """Unix seconds."""
    expires: float


class Store(Protocol):
    """Every lookup is within one tenant; expired suspensions are never returned.

    All methods raise StoreError when the database cannot be used.
    """

    async def start(self) -> None:
        """Open, create or migrate. Raises: StoreError, ConfigError (written by a newer version, or not ours)."""

    async def put(self, suspension: Suspension) -> None:
        """Durable when it returns: a kill -9 right after loses nothing. Putting the same again changes nothing."""

    async def get(self, tenant: str, sid: str) -> Suspension | None: ...

    async def find_by_transcript(
        self, tenant: str, transcript_key: str, *, scope: str | None = None, limit: int = 32
    ) -> list[Suspension]:
        """Newest first, at most `limit`; only those of `scope` unless it is None."""

    async def find_by_question(
        self, tenant: str, question_key: str, *, scope: str | None = None, limit: int = 32
    ) -> list[Suspension]:
        """Newest first, at most `limit`; only those of `scope` unless it is None."""

    async def list(self, tenant: str, limit: int = 100, before: float | None = None) -> list[Suspension]:
        """Newest first."""

    async def delete(self, tenant: str, sid: str) -> bool: ...

    async def expire(self, now: float) -> int:
        """Delete what has expired by `now` (Unix seconds); how many."""

    async def count(self, tenant: str | None = None) -> int: ...

    async def aclose(self) -> None: ...
