"""What a user says unasked while a model reasons: a mailbox between the surface that hears it and the run that puts it
in."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

from pir_serve.trajectory import Ask

MAX_WAITING = 16
"""Facts that may wait for the next boundary: lines of reasoning are short, so more is a client gone wrong."""


class Phase(enum.StrEnum):
    """Where the run stands to which a mailbox belongs."""

    REASONING = "reasoning"
    """Not begun, or reasoning: what is said now can still go in."""
    ANSWERING = "answering"
    AWAITING_USER = "awaiting_user"
    """The model has asked: what is said now is a response, which begins a run of its own."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Steered:
    """What was volunteered has entered the reasoning, behind all the text of the events before this one."""

    text: str
    segment: int
    """Index of its segment in the trajectory."""
    in_place_of: Ask | None = None
    """The ask that the model had just made: the user never saw it, and the model was told this instead."""


class Mailbox:
    """Of one run. `steer` may be called by any task of the run's event loop, from before it begins until it ends."""

    def __init__(self) -> None:
        self.phase = Phase.REASONING
        self._waiting: deque[str] = deque()

    def steer(self, text: str) -> bool:
        """Whether `text` will go in at the next boundary of the reasoning, behind what waits already.

        False where it cannot: `phase` says why, or it is blank, or `MAX_WAITING` facts wait. What was accepted goes in
        unless the run ends first (a token limit, an engine's failure): then it is among `undelivered`.
        """
        if self.phase is not Phase.REASONING or not text.strip() or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(text)
        return True

    @property
    def is_waiting(self) -> bool:
        """Whether something is to go in."""
        return bool(self._waiting)

    @property
    def undelivered(self) -> tuple[str, ...]:
        """What was accepted and has not gone in; final once the run has ended."""
        return tuple(self._waiting)

    def take(self) -> str | None:
        """For the run: what is to go in next."""
        return self._waiting.popleft() if self._waiting else None

    def close(self, phase: Phase) -> None:
        """For the run: nothing goes in any more. The first reason stays."""
        if self.phase in (Phase.REASONING, Phase.ANSWERING):
            self.phase = phase
