"""What the Responses API keeps: a document for each response, and the events of those made in the background.

A response that has ended never changes, so that any number of later ones may be chained to it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class ResponseStatus(enum.StrEnum):
    """The wire's words; those that a trajectory has too mean the same."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_running(self) -> bool:
        return self in (ResponseStatus.QUEUED, ResponseStatus.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class ResponseRecord:
    """A response object of the Responses API (not a response to an ask)."""

    id: str
    """`resp_...`"""
    tenant: str
    status: ResponseStatus
    """The truth, where `body` says otherwise: a response whose process died is failed without its body being known."""
    body: dict[str, Any]
    """The response as the client got it (JSON types)."""
    input: tuple[dict[str, Any], ...]
    """The input items of its request, with their ids."""
    conversation: tuple[dict[str, Any], ...]
    """All that is visible up to its end, its own output included: what a response chained to it goes on from. Whole in
    each, so that deleting one leaves the others as they are."""
    sid: str | None
    """The suspension that it ended in; None: it does not await the user."""
    created: float
    """Unix seconds."""
    expires: float
    reason: str | None = None
    """Why the status is `failed`, `incomplete` or `cancelled`, where that is known."""


class Responses(Protocol):
    """All is within one tenant; what has expired is never returned. All methods raise StoreError when the database
    cannot be used."""

    async def put(self, record: ResponseRecord, *, events: Sequence[bytes] = (), first: int | None = None) -> bool:
        """Write a response, or what has become of it, durably; one that runs is this process's to end.

        False, and nothing is written, where it has ended before (cancelled by somebody else, say). `events` are
        appended with it, all or nothing, as by `append`: the last ones of a background response come with the put that
        ends it."""

    async def get(self, tenant: str, response_id: str) -> ResponseRecord | None: ...

    async def delete(self, tenant: str, response_id: str) -> bool:
        """With its events; whether there was one."""

    async def append(self, tenant: str, response_id: str, events: Sequence[bytes], *, first: int) -> bool:
        """Add to the event log, durably; `first` is the number of the first event, and numbers begin with 0.

        What is already there is left out, so that a call can be repeated. False, and nothing is written, where the
        response does not run any more: time to stop generating. Raises: StoreError, where events before `first` are
        missing."""

    async def events(
        self, tenant: str, response_id: str, *, after: int = -1, limit: int = 1000
    ) -> list[tuple[int, bytes]]:
        """Number and content of the events with numbers above `after`, in order; at most `limit`."""
