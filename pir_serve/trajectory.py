"""The unit we store, score and train on: everything from prompt to answer, asks and responses included.

Pure data and the moves between statuses. No I/O, standard library only. Tokens stay as they were sampled: a trajectory
is a tuple of segments, and its token ids are theirs laid end to end; nothing here ever encodes text again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from pir_serve.errors import NotAwaitingUser


class Author(enum.StrEnum):
    """Who put a segment's tokens there. Only the model's tokens carry loss or log-probabilities."""

    TEMPLATE = "template"
    USER = "user"
    MODEL = "model"


class Status(enum.StrEnum):
    """Where a trajectory stands. `incomplete` is a length limit, `failed` an engine or markup failure."""

    IN_PROGRESS = "in_progress"
    AWAITING_USER = "awaiting_user"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens with one author."""

    author: Author
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    """Natural log-probability of each token as the engine gave it; empty where there is none."""
    sampled_ids: tuple[int, ...] | None = None
    """The ids exactly as sampled, where the junction after an ask replaced the last of them; None where they are equal."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of the model, without its tags."""

    index: int
    """0 for the first ask of the trajectory."""
    text: str
    """The question as the user sees it."""
    original: str | None = None
    """The model's own words, where the question screen had them put in others; None where they are `text`."""
    opened_by: Author = Author.MODEL
    """TEMPLATE where the uncertainty gate wrote `<asking>` and the model only the question."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An ask and what answered it."""

    ask: Ask
    response: str
    """What was said, before escaping."""
    by: Author
    """USER for a person (or simulator), TEMPLATE when the ask policy answered in the user's place."""
    reason: str = ""
    """Why the user was not asked: `never` or `max` (the ask policy), `empty` (no question), `screen:<rule>` (blocked),
    `volunteered` (the user said something while the question was being written, and that went in instead), or why the
    user who was asked did not answer: `declined`, `timed_out`, `failed`. "" where the user answered."""


_SHOWN = frozenset({"declined", "timed_out", "failed"})


@dataclass(frozen=True, slots=True)
class Volunteered:
    """What the user said unasked while the model was reasoning."""

    text: str
    """What was said, before escaping."""
    segment: int
    """Index of the segment of the trajectory that says it to the model."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Immutable; every move returns a new one, so branches share their common past."""

    session: str
    """Id of the conversation turn this trajectory began with; branches of it share the session (engine affinity)."""
    model: str
    segments: tuple[Segment, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    status: Status = Status.IN_PROGRESS
    pending: Ask | None = None
    """The ask that waits for a response; set exactly while the status is `awaiting_user`."""
    malformed: tuple[str, ...] = ()
    """Names of markup faults seen in the model's output (`markup.Malformed`), in order; recorded, never repaired in
    silence. `gate_abandoned`: it wrote no question where the uncertainty gate had opened an ask; that was taken back."""
    detail: str | None = None
    """Why the status is `incomplete` or `failed`: max_tokens, context_length, malformed_ask, engine_error ..."""
    volunteered: tuple[Volunteered, ...] = ()
    """In the order in which they entered the reasoning."""

    @property
    def token_ids(self) -> list[int]:
        return [i for segment in self.segments for i in segment.token_ids]

    @property
    def prompt_segments(self) -> tuple[Segment, ...]:
        """Those before the model's first token, and before what a user volunteered even earlier."""
        first = min((v.segment for v in self.volunteered), default=len(self.segments))
        for k, segment in enumerate(self.segments[:first]):
            if segment.author is Author.MODEL:
                return self.segments[:k]
        return self.segments[:first]

    @property
    def num_asks(self) -> int:
        return len(self.exchanges) + (self.pending is not None)

    @property
    def num_shown(self) -> int:
        """Asks that have reached the user, the pending one left out."""
        return sum(
            exchange.reason in _SHOWN or (exchange.by is Author.USER and not exchange.reason)
            for exchange in self.exchanges
        )

    @property
    def num_model_tokens(self) -> int:
        return sum(len(s.sampled_ids or s.token_ids) for s in self.segments if s.author is Author.MODEL)

    @property
    def completion_text(self) -> str:
        """All that follows the prompt, tags included: what a training row or a grader reads."""
        return "".join(s.text for s in self.segments[len(self.prompt_segments) :])

    def append(self, *segments: Segment) -> Trajectory:
        return replace(self, segments=(*self.segments, *segments))

    def volunteer(self, text: str, segment: Segment) -> Trajectory:
        """The user has said something unasked, whose tokens are `segment`."""
        assert self.status is Status.IN_PROGRESS
        said = Volunteered(text, len(self.segments))
        return replace(self, segments=(*self.segments, segment), volunteered=(*self.volunteered, said))

    def suspend(self, ask_text: str, *, opened_by: Author = Author.MODEL) -> Trajectory:
        """The model has asked: wait for the user."""
        assert self.status is Status.IN_PROGRESS
        return replace(self, status=Status.AWAITING_USER, pending=Ask(self.num_asks, ask_text, opened_by=opened_by))

    def reword(self, text: str) -> Trajectory:
        """The user is shown `text` in place of the question that is pending; the model's tokens stay as they are."""
        assert self.pending is not None
        original = self.pending.text if self.pending.original is None else self.pending.original
        return replace(self, pending=replace(self.pending, text=text, original=original))

    def respond(self, response: str, *segments: Segment, by: Author, reason: str = "") -> Trajectory:
        """Resume with a response, whose tokens are `segments`; the ask becomes an exchange. `reason` as in `Exchange`.

        Raises:
            NotAwaitingUser: no ask is pending.
        """
        if self.status is not Status.AWAITING_USER or self.pending is None:
            raise NotAwaitingUser(
                f"{self.session} is {self.status}; only a trajectory that awaits the user can be resumed"
            )
        exchange = Exchange(self.pending, response, by, reason)
        return replace(
            self,
            segments=(*self.segments, *segments),
            exchanges=(*self.exchanges, exchange),
            status=Status.IN_PROGRESS,
            pending=None,
        )

    def end(self, status: Status, detail: str | None = None) -> Trajectory:
        assert self.status is Status.IN_PROGRESS and status not in (Status.IN_PROGRESS, Status.AWAITING_USER)
        return replace(self, status=status, detail=detail)
