"""Stored trajectories: put, find, list, expire.

A node is a trajectory at one moment: where it awaits its user, or where it has ended. It is immutable; resuming copies
it and never consumes it, so that the nodes of a session are a tree. What the Responses API keeps is in `responses`.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pir_serve.access.keys import ApiKeys
from pir_serve.access.tally import Tallies
from pir_serve.store.responses import Responses
from pir_serve.trajectory import Status, Trajectory

T = TypeVar("T")

FINISHED = frozenset({Status.COMPLETED, Status.INCOMPLETE, Status.FAILED})
"""What lists of trajectories that have ended ask for."""


@dataclass(frozen=True, slots=True)
class Node:
    """One trajectory that awaits its user or has ended, with all that finding, showing and resuming it takes."""

    sid: str
    """`pir_` and 22+ url-safe random characters; at most 40 with the prefix `call_`."""
    tenant: str
    scope: str
    """Conversation hint of the client ("" if none); narrows lookups by text."""
    model: str
    digest: str
    """Of model, tokenizer and template: a suspension of another model is never resumed."""
    trajectory: Trajectory
    """Any status but `in_progress`. While it is `awaiting_user`, its ids end with the ask's closing tag."""
    request: dict[str, Any]
    """Sampling parameters and policy of the request that began it (JSON types); reused on resume unless overridden."""
    transcript_key: str
    """Keyed hash of the canonical visible user/assistant text up to and including the question (ladder rung 4). Of
    no use, like the next two, once the trajectory has ended."""
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
    """Unix seconds; waiting ones and finished ones may be given different times."""
    trace: str = ""
    """W3C `traceparent` of the request that made it, for links from those that resume it; "" if it was not traced."""

    @property
    def status(self) -> Status:
        return self.trajectory.status


Suspension = Node
"""A node whose status is `awaiting_user`: the only kind that lookups by text return."""


@dataclass(frozen=True, slots=True)
class Session:
    """The nodes of one `trajectory.session`: a question of the user, all that was asked about it, every branch."""

    session: str
    title: str
    """As its user named it, else the beginning of the message that it began with; "" if that had no text."""
    newest: str
    """The sid of its newest node; `model`, `status` and `question` are that node's."""
    model: str
    status: Status
    question: str | None
    """What the model waits to be told; None unless the status is `awaiting_user`."""
    num_nodes: int
    num_waiting: int
    """Nodes of any branch that can be resumed."""
    created: float
    """Unix seconds, of the oldest node that is still there."""
    updated: float
    """Unix seconds, of the newest node."""
    expires: float
    """Unix seconds: when the last of its nodes does."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: tuple[T, ...]
    cursor: str | None
    """Hand it in for the next page; None: there is none. Opaque; stays good while rows come and go."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What the store holds, the expired included until `expire` deletes them."""

    nodes: Mapping[str, int]
    """By status."""
    responses: Mapping[str, int]
    """By status."""
    num_sessions: int
    num_tenants: int
    num_bytes: int | None
    """On disk, for all tenants; None where that is not known."""
    evicted: Mapping[str, int] = field(default_factory=dict)
    """Dropped by this process because their tenant had too many: `finished`, `waiting`, `responses`."""


class Store(Protocol):
    """All is within one tenant; what has expired is never returned.

    All methods raise StoreError when the database cannot be used.
    """

    @property
    def responses(self) -> Responses:
        """What the Responses API keeps."""

    @property
    def keys(self) -> ApiKeys:
        """API keys, where they are made by command."""

    @property
    def tallies(self) -> Tallies:
        """What the processes that share this store have used of keys' limits."""

    def observe(self, told: Callable[[str, float, bool], None]) -> None:
        """`told` hears of each operation: `read` or `write`, seconds, and whether it failed."""

    async def start(self) -> None:
        """Open, create or migrate. Responses that a process was generating which is no more are failed.

        Raises: StoreError, ConfigError (written by a newer version, or not ours)."""

    async def put(self, node: Node, *, most: int | None = None) -> None:
        """Durable when it returns: a kill -9 right after loses nothing, a power cut no suspension. Putting the same
        again changes nothing.

        Nothing is refused for want of room: a tenant over its cap loses its oldest finished nodes, then its oldest
        suspensions, but never the node just put. `most`: the tenant's cap, where it has one of its own."""

    async def get(self, tenant: str, sid: str) -> Node | None:
        """Of any status."""

    async def find_by_transcript(
        self, tenant: str, transcript_key: str, *, scope: str | None = None, limit: int = 32
    ) -> list[Suspension]:
        """Those that await their user, newest first, at most `limit`; only those of `scope` unless it is None."""

    async def find_by_question(
        self, tenant: str, question_key: str, *, scope: str | None = None, limit: int = 32
    ) -> list[Suspension]:
        """Those that await their user, newest first, at most `limit`; only those of `scope` unless it is None."""

    async def list(
        self,
        tenant: str,
        *,
        session: str | None = None,
        status: Status | Set[Status] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Node]:
        """Newest first; of one session, and of the given status or one of several, unless that is None.

        Raises: RequestError, for a wrong cursor."""

    async def sessions(
        self,
        tenant: str,
        *,
        status: Status | Set[Status] | None = None,
        search: str = "",
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Session]:
        """Those with the newest node first; `status` is that node's.

        `search`: each of its words occurs, in any case, in the title or in what was said: the message it began with,
        asks, responses and answers of all branches, not the reasoning. Raises: RequestError, for a wrong cursor."""

    async def session(self, tenant: str, session: str) -> Session | None:
        """One by its id."""

    async def rename(self, tenant: str, session: str, title: str) -> bool:
        """Give a session a title, or with "" the one it had by itself; whether there is such a session."""

    async def delete(self, tenant: str, sid: str) -> bool:
        """One node, whether there was one; its children stay."""

    async def delete_session(self, tenant: str, session: str) -> int:
        """All its nodes and its title; how many nodes."""

    async def purge(self, tenant: str) -> int:
        """Everything of a tenant, responses and expired rows included; how many nodes and responses."""

    async def expire(self, now: float) -> int:
        """Delete what has expired by `now` (Unix seconds), and fail the responses of processes that are no more; how
        many nodes and responses were deleted."""

    async def count(self, tenant: str | None = None, *, status: Status | None = None) -> int:
        """Nodes that have not expired, of one tenant or of all, of one status or of any."""

    async def stats(self, tenant: str | None = None) -> Stats: ...

    async def tenants(self) -> builtins.list[str]:
        """All that have anything here."""

    async def reseal(self) -> int:
        """Encrypt again what is not encrypted with the newest key; how many values. What cannot be opened stays."""

    async def aclose(self) -> None: ...
