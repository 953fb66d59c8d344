"""Steering and the gate with the model that ships, run by the local engine, greedily."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("torch")

from pir_serve.engines.base import SamplingParams
from pir_serve.engines.local import LocalEngine
from pir_serve.loop import Ended, Mailbox, ReasoningDelta, RunParams, Steered, StepScored, run
from pir_serve.policy import NEVER, Gate
from pir_serve.prompt import Message, PromptCodec
from pir_serve.settings import BUILTIN_MODEL
from pir_serve.trajectory import Author, Status, Trajectory

EXAMPLES = [json.loads(line) for line in (BUILTIN_MODEL / "examples.jsonl").read_text().splitlines()]


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    async with contextlib.aclosing(LocalEngine(BUILTIN_MODEL)) as engine:
        await engine.start()
        yield engine


def begin(codec: PromptCodec, problem: str) -> Trajectory:
    return Trajectory("s", "pir-tiny", codec.encode_prompt([Message("user", problem)]))


def greedy(**params: Any) -> RunParams:
    return RunParams(sampling=SamplingParams(temperature=0.0), max_tokens=400, **params)


@pytest.mark.parametrize("lines", [0, 1])
async def test_a_volunteered_fact_is_in_the_ids_and_the_reasoning_goes_on(engine: LocalEngine, lines: int) -> None:
    """`lines`: how many of its lines the model has written when the user speaks."""
    codec = PromptCodec.load(BUILTIN_MODEL)
    example = EXAMPLES[0]
    mailbox = Mailbox()
    seen, behind, steered = "", "", list[Steered]()
    ended: Ended | None = None
    start = begin(codec, example["full"])  # complete, so that the fact does not come in place of an ask
    params = greedy(policy=NEVER)
    async for event in run(start, engine=engine, codec=codec, params=params, mailbox=mailbox):
        if isinstance(event, ReasoningDelta):
            if steered:
                behind += event.text
            else:
                seen += event.text
                if seen.count("\n") >= lines and not mailbox.is_waiting:
                    assert mailbox.steer(example["missing"])
        elif isinstance(event, Steered):
            steered.append(event)
        elif isinstance(event, Ended):
            ended = event
    assert ended is not None and [s.text for s in steered] == [example["missing"]]
    done = ended.trajectory
    assert done.status is Status.COMPLETED and len(behind.split()) > 5
    (said,) = done.volunteered
    fact = codec.encode_response(example["missing"]).token_ids
    assert done.segments[said.segment].token_ids == fact and done.segments[said.segment].author is Author.USER
    before = [i for segment in done.segments[: said.segment] for i in segment.token_ids]
    assert done.token_ids[len(before) : len(before) + len(fact)] == list(fact)
    assert codec.decode(before).endswith("\n")
    kept = done.segments[said.segment - 1]
    sampled = kept.sampled_ids or kept.token_ids
    assert kept.token_ids == sampled[: len(kept.token_ids)]  # cut between tokens, none encoded again


async def test_the_gate_makes_it_ask_where_it_is_unsure(engine: LocalEngine) -> None:
    codec = PromptCodec.load(BUILTIN_MODEL)
    start = begin(codec, EXAMPLES[0]["full"])  # complete: by itself it does not ask
    entropies, steps = list[float](), 0
    async for event in run(start, engine=engine, codec=codec, params=greedy(uncertainty=True)):
        if isinstance(event, StepScored):
            entropies.append(event.step.entropy)
            steps += 1
        elif isinstance(event, Ended):
            assert event.trajectory.status is Status.COMPLETED and event.trajectory.num_asks == 0
    nats = sorted(entropies)[-1] * 0.999  # the unsurest step of all
    async for event in run(start, engine=engine, codec=codec, params=greedy(gate=Gate(nats))):
        if isinstance(event, Ended):
            asked = event.trajectory
    assert asked.status is Status.AWAITING_USER and asked.pending is not None
    assert asked.pending.opened_by is Author.TEMPLATE and asked.pending.text
    assert codec.decode(asked.segments[-2].token_ids) == "<asking>"
    assert len(asked.segments[-3].text.strip().splitlines()) == entropies.index(max(entropies)) + 1
