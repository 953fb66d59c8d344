"""What a user simulator is: who responds to an ask, knowing the intent and never the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from evals.problems.model import Fact, Problem

ResponseKind = Literal["answer", "dont_know", "off_topic", "unclear"]


class SimulatorError(Exception):
    """A user simulator gave no response; the rollout is unscored, nobody said anything."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What the user wants in full. It has no steps and no answer, so no simulator can tell them."""

    row_id: str
    text: str
    facts: tuple[Fact, ...]

    @classmethod
    def of(cls, problem: Problem) -> Intent:
        return cls(problem.row_id, problem.full, problem.facts)


@dataclass(frozen=True, slots=True)
class Response:
    """What the simulated user says."""

    text: str
    disclosed: tuple[str, ...]
    """Ids of the facts that the text gives."""
    kind: ResponseKind


@dataclass(frozen=True, slots=True)
class Exchange:
    """An ask and its response."""

    ask: str
    response: Response


class UserSimulator(Protocol):
    """Responds to asks from the intent; never trained."""

    def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        """The response to `ask`; `history` holds the earlier exchanges of this trajectory, oldest first.

        Raises:
            SimulatorError: no response could be made (a simulator that calls a model may fail).
        """
        ...
