"""One run of the loop, played to its end over a scripted engine and a real tokenizer; no HTTP."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pir_serve.loop import AnswerDelta, Ended, ReasoningDelta, RunParams, StepScored, run
from pir_serve.prompt import Message, PromptCodec
from pir_serve.trajectory import Author, Trajectory
from tests.fakes import ScriptedEngine

QUESTION = "How much does one pen cost?"
ASKS = f"\nThe number of pens is 6.\nI need the price.\n<asking>{QUESTION}</asking>"
ANSWERS = "\nOne costs 4 dollars, so 24 in all.\n</think>\nThe answer is \\boxed{24}."


@pytest.fixture(params=["atomic", "plain"])
def folder(request: pytest.FixtureRequest, tokenizer_dir: Path, plain_tokenizer_dir: Path) -> Path:
    return tokenizer_dir if request.param == "atomic" else plain_tokenizer_dir


@dataclass
class Played:
    """All that one run said, and where it ended."""

    ended: Ended
    reasoning: str = ""
    answer: str = ""
    steps: list[StepScored] = field(default_factory=list)

    @property
    def trajectory(self) -> Trajectory:
        return self.ended.trajectory


async def play(engine: ScriptedEngine, folder: Path, start: Trajectory | None = None, **params: Any) -> Played:
    codec = PromptCodec.load(folder)
    start = start or Trajectory(
        "s", "m", codec.encode_prompt([Message("user", "Nora buys 6 pens. What does she pay?")])
    )
    reasoning, answer, steps = "", "", []
    async with aclosing(run(start, engine=engine, codec=codec, params=RunParams(**params))) as events:
        async for event in events:
            if isinstance(event, ReasoningDelta):
                reasoning += event.text
            elif isinstance(event, AnswerDelta):
                answer += event.text
            elif isinstance(event, StepScored):
                steps.append(event)
            else:
                return Played(event, reasoning, answer, steps)
    raise AssertionError("the run ended without Ended")


def answered(folder: Path, trajectory: Trajectory, response: str = "4 dollars") -> Trajectory:
    segment = PromptCodec.load(folder).encode_response(response)
    return trajectory.respond(response, segment, by=Author.USER)
