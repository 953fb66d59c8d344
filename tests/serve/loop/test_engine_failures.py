"""Engines that die midway: the leg goes on from what was received, once; then it is an error."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pir_serve import unbroken
from pir_serve.engines.base import LegRequest, SamplingParams, TokenChunk
from pir_serve.errors import EngineBusy, EngineRejected, EngineUnavailable
from pir_serve.trajectory import Status
from tests.fakes import End, Line, ScriptedEngine
from tests.serve.loop.conftest import play


@pytest.mark.parametrize("end", ["die", "silent_end", "abort"])
@pytest.mark.parametrize("said", ["", "\nOne costs 4", "\nOne costs 4 \U0001f600", "\nSo 24.\n</thi"])
async def test_a_leg_goes_on_from_the_ids_received_when_the_engine_dies(folder: Path, end: Any, said: str) -> None:
    rest = "nk>\nThe answer is 24." if said.endswith("</thi") else " dollars.\n</think>\nThe answer is 24."
    engine = ScriptedEngine(folder, [Line(said, end=end), rest], chunk_tokens=1)
    played = await play(engine, folder, max_tokens=100)
    received = engine.tokenizer.encode(said, add_special_tokens=False).ids
    assert engine.requests[1].prompt_ids == engine.requests[0].prompt_ids + received
    assert engine.requests[1].max_tokens == 100 - len(received)
    assert played.trajectory.completion_text == said + rest
    assert played.trajectory.status is Status.COMPLETED
    assert played.answer == "The answer is 24."
    assert played.ended.usage.prompt_tokens == len(engine.requests[0].prompt_ids)


async def test_no_more_of_a_prompt_is_cached_than_there_is_though_the_leg_was_taken_up_again(folder: Path) -> None:
    said, rest = "\nOne costs 4", " dollars.\n</think>\nThe answer is 24."
    engine = ScriptedEngine(folder, [said + rest, Line(said, end="die"), rest])
    await play(engine, folder)
    again = await play(engine, folder)
    assert again.ended.usage.cached_tokens == again.ended.usage.prompt_tokens == len(engine.requests[1].prompt_ids)


async def test_a_character_torn_by_the_engines_death_is_whole_again(folder: Path) -> None:
    text = "\nA smile \U0001f600 costs 4.\n</think>\n24 \U0001f600"
    ids = ScriptedEngine(folder, []).tokenizer.encode(text, add_special_tokens=False).ids
    for cut in range(1, len(ids)):
        engine = _TornEngine(folder, ids, cut)
        played = await play(engine, folder)
        assert played.trajectory.completion_text == text, cut
        assert played.answer == "24 \U0001f600"


class _TornEngine(ScriptedEngine):
    """Dies after `cut` ids, be that inside a character; then says the rest."""

    def __init__(self, folder: Path, ids: Sequence[int], cut: int) -> None:
        super().__init__(folder, ["", ""], chunk_tokens=1)
        self._halves: list[tuple[Sequence[int], End]] = [(ids[:cut], "die"), (ids[cut:], "eos")]

    async def generate(self, request: Any) -> Any:
        ids, end = self._halves.pop(0)
        self.requests.append(request)
        async for chunk in self._play_ids(list(ids), Line("", end=end), request):
            yield chunk


async def test_a_leg_goes_on_from_death_to_death_but_not_for_ever(folder: Path) -> None:
    deaths = [Line(word, end="die") for word in ("\nOne", " costs", " 4")]
    engine = ScriptedEngine(folder, [*deaths, " dollars.\n</think>\n24."])
    played = await play(engine, folder, sampling=SamplingParams(seed=7))
    assert played.trajectory.completion_text == "\nOne costs 4 dollars.\n</think>\n24."
    assert len({request.sampling.seed for request in engine.requests}) == 4
    engine = ScriptedEngine(folder, deaths)
    with pytest.raises(EngineUnavailable):
        await play(engine, folder)
    assert len(engine.requests) == 1 + len(unbroken.PAUSES_S)


async def test_an_engine_that_dies_before_a_word_twice_is_full_or_refuses_is_an_error(folder: Path) -> None:
    engine = ScriptedEngine(folder, [Line("", end="die")] * 2)
    with pytest.raises(EngineUnavailable):
        await play(engine, folder)
    assert len(engine.requests) == 2
    engine = ScriptedEngine(folder, [Line("", error=EngineBusy("the queue is full"))])
    with pytest.raises(EngineBusy):
        await play(engine, folder)
    assert len(engine.requests) == 1
    engine = ScriptedEngine(folder, [Line("", error=EngineRejected("no such model"))])
    with pytest.raises(EngineRejected):
        await play(engine, folder)
    assert len(engine.requests) == 1


class _LaggingEngine(ScriptedEngine):
    """Holds text back behind its ids, as engines do while it may yet become a stop string, and dies."""

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        async for chunk in super().generate(request):
            if len(self.requests) > 1:
                yield chunk
            else:
                yield replace(chunk, text="")


async def test_text_that_was_lost_with_the_engine_is_spelled_from_its_ids(folder: Path) -> None:
    said, rest = "\nOne costs 4", " dollars.\n</think>\nThe answer is 24."
    played = await play(_LaggingEngine(folder, [Line(said, end="die"), rest]), folder)
    assert played.trajectory.completion_text == said + rest
    assert played.reasoning == "One costs 4 dollars.\n"


async def test_a_leg_taken_up_again_draws_other_random_numbers(folder: Path) -> None:
    engine = ScriptedEngine(folder, [Line("\nOne costs 4", end="die"), " dollars.\n</think>\n24."])
    await play(engine, folder, sampling=SamplingParams(seed=7))
    first, again = (request.sampling.seed for request in engine.requests)
    assert first == 7 and again not in (None, 7)


class _LateEngine(ScriptedEngine):
    """Dies when it has said all that it was allowed to, before it can say that this was the end."""

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        async for chunk in super().generate(replace(request, max_tokens=request.max_tokens + 1)):
            yield chunk


async def test_an_engine_that_dies_with_the_budget_spent_is_not_asked_for_no_tokens(folder: Path) -> None:
    engine = _LateEngine(folder, [Line("\nOne costs 4", end="die"), ""])
    budget = len(engine.tokenizer.encode("\nOne costs 4", add_special_tokens=False).ids)
    with pytest.raises(EngineUnavailable):
        await play(engine, folder, max_tokens=budget)
    assert len(engine.requests) == 1
