"""Play paired problems through the very loop that serves, with a rule user, and report shares with intervals.

Conditions on the same rows: `complete` (the full problem; the model may ask), `no_ask` (the incomplete problem under the ask
policy `never`: the floor) and `interactive` (the incomplete problem and a user who answers); and, for what asking does to
reasoning where nobody can answer, `complete_no_ask`. A rollout that fails or runs out of tokens stays in the denominator
as wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal

from evals.grading import extract_answer, is_correct
from evals.problems import Problem
from evals.simulators import Exchange, Intent, UserSimulator
from evals.stats import Share
from pir_serve.engines.base import Engine, SamplingParams
from pir_serve.loop import Ended, RunParams, run
from pir_serve.policy import NEVER, AskPolicy
from pir_serve.prompt import Message, PromptCodec
from pir_serve.settings import AUTO_RESPONSE
from pir_serve.trajectory import Author, Status, Trajectory

Condition = Literal["complete", "no_ask", "interactive", "complete_no_ask"]
CONDITIONS: tuple[Condition, ...] = ("complete", "no_ask", "interactive")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem played to its end."""

    row_id: str
    condition: Condition
    trajectory: Trajectory
    correct: bool
    disclosed: tuple[tuple[str, ...], ...]
    """Per ask that reached the user: ids of the facts that the response gave."""
    hits: int
    """Asks that drew out a fact that was hidden and not yet given."""
    hidden: int

    @property
    def num_asks(self) -> int:
        """Asks that reached the user."""
        return len(self.disclosed)


@dataclass(frozen=True, slots=True)
class Player:
    """A model, ready to be played against a user."""

    engine: Engine
    codec: PromptCodec
    simulator: UserSimulator
    sampling: SamplingParams = field(default_factory=lambda: SamplingParams(temperature=0.0))
    max_tokens: int = 400
    """Of one leg's run; the longest solved problem is half as long."""
    max_asks: int = 6
    """After as many the policy answers in the user's place."""

    async def play(self, problem: Problem, condition: Condition) -> Outcome:
        params = RunParams(
            policy=NEVER if condition.endswith("no_ask") else AskPolicy(self.max_asks),
            sampling=self.sampling,
            max_tokens=self.max_tokens,
            auto_response=AUTO_RESPONSE,
        )
        prompt = self.codec.encode_prompt([Message("user", problem.shown)])
        trajectory = Trajectory(f"{condition}-{problem.row_id}", "policy", prompt)
        intent, disclosed, hits = Intent.of(problem), list[tuple[str, ...]](), 0
        missing = {fact.id for fact in problem.hidden}
        history: list[Exchange] = []
        while True:
            trajectory = await self._leg(trajectory, params)
            if trajectory.status is not Status.AWAITING_USER or trajectory.pending is None:
                break
            ask = trajectory.pending.text
            said = self.simulator.respond(ask, intent=intent, history=history)
            history.append(Exchange(ask, said))
            disclosed.append(said.disclosed)
            hits += bool(missing & set(said.disclosed))
            missing -= set(said.disclosed)
            trajectory = trajectory.respond(said.text, self.codec.encode_response(said.text), by=Author.USER)
        return Outcome(
            problem.row_id,
            condition,
            trajectory,
            self._is_correct(trajectory, problem),
            tuple(disclosed),
            hits,
            len(problem.hidden),
        )

    async def _leg(self, trajectory: Trajectory, params: RunParams) -> Trajectory:
        async for event in run(trajectory, engine=self.engine, codec=self.codec, params=params):
            if isinstance(event, Ended):
                return event.trajectory
        raise AssertionError("the loop ended without saying how")

    @staticmethod
    def _is_correct(trajectory: Trajectory, problem: Problem) -> bool:
        if trajectory.status is not Status.COMPLETED:
            return False
        # Only what the model wrote last: a box typed by the user inside a response is not an answer.
        answer = extract_answer(trajectory.segments[-1].text)
        return answer is not None and is_correct(answer, problem.gold)


async def play_all(
    player: Player, problems: Iterable[Problem], condition: Condition, concurrency: int = 128
) -> list[Outcome]:
    """Outcomes in the order of `problems`."""
    gate = asyncio.Semaphore(concurrency)

    async def one(problem: Problem) -> Outcome:
        async with gate:
            return await player.play(problem, condition)

    return list(await asyncio.gather(*(one(problem) for problem in problems)))


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures of one condition, JSON-ready."""
    asks = sum(o.num_asks for o in outcomes)
    return {
        "accuracy": Share.of(o.correct for o in outcomes).to_json(),
        "asked": Share.of(o.num_asks > 0 for o in outcomes).to_json(),
        "turns": round(fmean(o.num_asks for o in outcomes), 3),
        "ask_precision": Share(sum(o.hits for o in outcomes), asks).to_json() if asks else None,
        "gap_coverage": _coverage(outcomes),
        "model_tokens": round(fmean(o.trajectory.num_model_tokens for o in outcomes), 1),
        "not_completed": sum(o.trajectory.status is not Status.COMPLETED for o in outcomes),
        "malformed": sum(bool(o.trajectory.malformed) for o in outcomes),
    }


def _coverage(outcomes: Sequence[Outcome]) -> dict[str, float | int] | None:
    hidden = sum(o.hidden for o in outcomes)
    return Share(sum(o.hits for o in outcomes), hidden).to_json() if hidden else None
