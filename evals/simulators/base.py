"""What a user simulator is: who responds to an ask, knowing the intent and never the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from evals.problems.model import Fact, Problem
from evals.rows import Row

ResponseKind = Literal["answer", "dont_know", "off_topic", "unclear", "refused"]


class SimulatorError(Exception):
    """A user simulator gave no response; the rollout is unscored, nobody said anything."""

    def __init__(self, text: str, *, tokens: int = 0, prompt_tokens: int = 0, is_unreachable: bool = False) -> None:
        super().__init__(text)
        self.tokens, self.prompt_tokens = tokens, prompt_tokens
        """Spent in vain, as those of `Response`."""
        self.is_unreachable = is_unreachable
        """Nothing answers at the simulator's address."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What the user wants in full. It has no steps and no answer, so no simulator can tell them."""

    row_id: str
    text: str
    facts: tuple[Fact, ...]
    shown: str = ""
    """What the user has told already: the text that the model reads."""

    @classmethod
    def of(cls, problem: Problem | Row) -> Intent:
        return cls(problem.row_id, problem.full, problem.facts, problem.shown)


@dataclass(frozen=True, slots=True)
class Response:
    """What the simulated user says."""

    text: str
    disclosed: tuple[str, ...]
    """Ids of the facts that the text gives."""
    kind: ResponseKind
    tokens: int = 0
    """Of the model behind an LLM simulator, in and out, failed attempts included; never counted as the policy's."""
    attempts: int = 1
    """Calls that it took."""
    prompt_tokens: int = 0
    """Those of `tokens` that went in."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An ask and its response."""

    ask: str
    response: Response


class UserSimulator(Protocol):
    """Responds to asks from the intent at once, with no I/O; never trained. Rollouts and in-process play call this."""

    def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        """The response to `ask`; `history` holds the earlier exchanges of this trajectory, oldest first.

        Raises:
            SimulatorError: no response could be made (a simulator that calls a model may fail).
        """
        ...


class User(Protocol):
    """Whoever responds in an evaluation: any simulator, or a person. `evals.simulators.simulator` makes one."""

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        """As `UserSimulator.respond`, for users that take their time; conversations call it concurrently.

        Raises:
            SimulatorError: nobody said anything; the conversation is an error, never a stock sentence.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """Everything that the responses depend on, JSON-ready and without secrets: part of a transcript's key."""
        ...
