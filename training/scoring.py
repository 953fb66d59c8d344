"""From a rollout to its reward: the outcome by the row's grader, the helpfulness of its asks by a judge."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from evals.grading import extract_answer, grade, is_correct, number
from evals.grading.door import GradingOptions
from evals.grading.text import bleu_collab, visible
from evals.rows import Transcript, Turn
from evals.simulators import Intent
from pir_serve.trajectory import Status
from training.judge import Judge, JudgeError
from training.rewards import RewardConfig, composite, read
from training.rollout import Rollout

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Score:
    """What one rollout earned, and for what."""

    reward: float
    outcome: float
    """1.0 for a right answer; a task with graded outcomes may be in between."""
    helpfulness: tuple[float, ...]
    """Of each ask that was answered."""


@dataclass(frozen=True, slots=True)
class Scorer:
    config: RewardConfig
    judge: Judge
    grading: GradingOptions = field(default_factory=GradingOptions)

    async def score(self, rollout: Rollout) -> Score | None:
        """None: unscored, because the simulator, the engine or the judge failed."""
        if rollout.failure:
            return None
        reached = await outcome_of(rollout, self.grading)
        if reached is None:
            return None
        intent = Intent.of(rollout.row)
        try:
            helpfulness = await asyncio.gather(
                *(
                    self.judge.helpfulness(exchange.ask, intent=intent, history=rollout.exchanges[:k])
                    for k, exchange in enumerate(rollout.exchanges)
                )
            )
        except JudgeError as error:
            log.warning("rollout %s is unscored: %s", rollout.trajectory.session, error)
            return None
        if rollout.row.is_complete and self.config.components == "ours":
            helpfulness = [0.0] * len(helpfulness)  # nothing was missing, whatever a lenient judge says
        reading = read(rollout.trajectory.completion_text, as_released=self.config.as_released)
        reward = composite(reached, reading, helpfulness, self.config, is_complete=rollout.row.is_complete)
        return Score(reward, reached, tuple(helpfulness))


async def outcome_of(rollout: Rollout, grading: GradingOptions | None = None) -> float | None:
    """0..1 by the row's grader; None where nothing can be said of the answer (a tool or judge of the grader failed).

    A rollout that did not come to its end has reached nothing. Numbers are compared at once; documents by the paper's
    BLEU; what takes longer (symbolic equality, tests in a sandbox) is graded in a thread.
    """
    if rollout.trajectory.status is not Status.COMPLETED:
        return 0.0
    row, final = rollout.row, rollout.trajectory.segments[-1].text  # a box that the user typed is not an answer
    if row.grader == "text" and "aliases" not in row.extra:
        return bleu_collab(visible(final), row.gold)
    if row.grader == "math":
        answer = extract_answer(final)
        if answer is None or number(row.gold) is not None:
            return float(answer is not None and is_correct(answer, row.gold))
    graded = await asyncio.to_thread(grade, row, _transcript(rollout, final), grading)
    return graded.score


def _transcript(rollout: Rollout, final: str) -> Transcript:
    """As much of the rollout as graders read."""
    turns = tuple(
        Turn(
            e.ask, e.response.text, e.response.kind, e.response.disclosed, model_tokens=0, model_s=0.0, simulator_s=0.0
        )
        for e in rollout.exchanges
    )
    row = rollout.row
    return Transcript(
        key=rollout.trajectory.session,
        row_id=row.row_id,
        pair_id=row.pair_id,
        task=row.task,
        condition="interactive",
        repeat=0,
        turns=turns,
        final=final,
        reasoning="",
        stop="answer",
    )
