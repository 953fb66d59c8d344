"""The loop over legs: to an ask or the end, within its limits, the same however the engine cuts its chunks."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from pir_serve.engines.base import SamplingParams
from pir_serve.errors import ContextLengthExceeded
from pir_serve.loop import RunParams, run
from pir_serve.policy import NEVER, AskPolicy
from pir_serve.prompt import Message, PromptCodec
from pir_serve.trajectory import Author, Status, Trajectory
from tests.fakes import Line, ScriptedEngine
from tests.serve.loop.conftest import ANSWERS, ASKS, QUESTION, answered, play


async def test_an_answer_completes_the_trajectory(folder: Path) -> None:
    played = await play(ScriptedEngine(folder, [ANSWERS]), folder)
    assert played.trajectory.status is Status.COMPLETED
    assert played.reasoning == "One costs 4 dollars, so 24 in all.\n"
    assert played.answer == "The answer is \\boxed{24}."
    assert played.ended.finish_reason == "stop"
    assert played.trajectory.malformed == ()


async def test_an_ask_suspends_and_resuming_only_appends(folder: Path) -> None:
    engine = ScriptedEngine(folder, [ASKS, ANSWERS])
    first = await play(engine, folder)
    assert first.trajectory.status is Status.AWAITING_USER
    assert first.trajectory.pending is not None and first.trajectory.pending.text == QUESTION
    assert first.reasoning == "The number of pens is 6.\nI need the price.\n"
    assert first.answer == ""
    assert first.ended.usage.reasoning_tokens == first.ended.usage.completion_tokens > 0
    codec = PromptCodec.load(folder)
    assert codec.decode(first.trajectory.token_ids).endswith(f"<asking>{QUESTION}</asking>")

    second = await play(engine, folder, answered(folder, first.trajectory))
    assert second.trajectory.status is Status.COMPLETED
    assert second.answer == "The answer is \\boxed{24}."
    sent = engine.requests[1].prompt_ids
    assert sent[: len(first.trajectory.token_ids)] == first.trajectory.token_ids
    assert codec.decode(sent).endswith(f"{QUESTION}</asking>\n<response>4 dollars</response>")
    assert engine.aborted == 0


@pytest.mark.parametrize("chunk_tokens", [1, 2, 5, 1000])
async def test_how_the_engine_cuts_its_chunks_changes_nothing(folder: Path, chunk_tokens: int) -> None:
    expected = await play(ScriptedEngine(folder, [ASKS], chunk_tokens=3), folder)
    played = await play(ScriptedEngine(folder, [ASKS], chunk_tokens=chunk_tokens), folder)
    assert played.trajectory.token_ids == expected.trajectory.token_ids
    assert (played.reasoning, played.answer) == (expected.reasoning, expected.answer)
    expected = await play(ScriptedEngine(folder, [ANSWERS]), folder)
    played = await play(ScriptedEngine(folder, [ANSWERS], chunk_tokens=chunk_tokens), folder)
    assert played.ended == expected.ended  # usage, with its split into reasoning and answer, included
    assert (played.reasoning, played.answer) == (expected.reasoning, expected.answer)


async def test_text_beyond_the_ask_is_cut_and_the_engine_stopped(folder: Path) -> None:
    overrun = ASKS + "\n<response>I made this up</response>\nOne costs 9 dollars.\n</think>\nThe answer is 54."
    engine = ScriptedEngine(folder, [overrun, ANSWERS], honours_stop=False, chunk_tokens=5)
    played = await play(engine, folder)
    assert played.trajectory.status is Status.AWAITING_USER
    assert PromptCodec.load(folder).decode(played.trajectory.token_ids).endswith(f"{QUESTION}</asking>")
    assert "made this up" not in played.trajectory.completion_text
    assert engine.aborted == 1 and engine.running == 0


async def test_never_answers_in_the_users_place_and_goes_on(folder: Path) -> None:
    engine = ScriptedEngine(folder, [ASKS, ANSWERS])
    played = await play(engine, folder, policy=NEVER, auto_response="Guess.")
    assert played.trajectory.status is Status.COMPLETED
    assert played.answer == "The answer is \\boxed{24}."
    assert [(e.ask.text, e.response, e.by) for e in played.trajectory.exchanges] == [
        (QUESTION, "Guess.", Author.TEMPLATE)
    ]
    assert "<response>Guess.</response>" in engine.prompt_text()
    assert QUESTION not in played.reasoning + played.answer
    assert played.ended.usage.legs == 2
    assert played.ended.usage.prompt_tokens == sum(len(r.prompt_ids) for r in engine.requests)
    assert played.ended.usage.completion_tokens == played.trajectory.num_model_tokens
    assert played.ended.usage.cached_tokens is not None and played.ended.usage.cached_tokens > 0


async def test_a_cap_counts_asks_over_resumes_and_not_automatic_answers(folder: Path) -> None:
    engine = ScriptedEngine(folder, [ASKS, ASKS, ANSWERS])
    first = await play(engine, folder, policy=AskPolicy(1))
    assert first.trajectory.status is Status.AWAITING_USER
    second = await play(engine, folder, answered(folder, first.trajectory), policy=AskPolicy(1))
    assert second.trajectory.status is Status.COMPLETED
    assert [e.by for e in second.trajectory.exchanges] == [Author.USER, Author.TEMPLATE]


async def test_a_model_that_asks_for_ever_is_stopped(folder: Path) -> None:
    engine = ScriptedEngine(folder, [ASKS] * 10)
    played = await play(engine, folder, policy=NEVER, max_asks=3)
    assert (played.trajectory.status, played.trajectory.detail) == (Status.INCOMPLETE, "max_asks")
    assert len(engine.requests) == 4


async def test_an_empty_ask_never_reaches_the_user(folder: Path) -> None:
    engine = ScriptedEngine(folder, ["\nHm.\n<asking> </asking>", ANSWERS])
    played = await play(engine, folder)
    assert played.trajectory.status is Status.COMPLETED
    assert played.trajectory.malformed == ("empty_ask",)
    assert [e.by for e in played.trajectory.exchanges] == [Author.TEMPLATE]


async def test_max_tokens_is_one_budget_over_all_legs(folder: Path) -> None:
    asks = (await play(ScriptedEngine(folder, [ASKS]), folder)).ended.usage.completion_tokens
    engine = ScriptedEngine(folder, [ASKS, ANSWERS])
    played = await play(engine, folder, policy=NEVER, max_tokens=asks + 5)
    assert [r.max_tokens for r in engine.requests] == [asks + 5, 5]
    assert (played.trajectory.status, played.trajectory.detail) == (Status.INCOMPLETE, "max_tokens")
    assert played.ended.finish_reason == "length"
    assert played.ended.usage.completion_tokens == asks + 5

    engine = ScriptedEngine(folder, [ASKS, ANSWERS])
    played = await play(engine, folder, policy=NEVER, max_tokens=asks)
    assert (played.trajectory.status, played.trajectory.detail) == (Status.INCOMPLETE, "max_tokens")
    assert len(engine.requests) == 1

    prompt = len(engine.requests[0].prompt_ids)  # what is left of the budget fits into the context, the whole does not
    engine = ScriptedEngine(folder, [ASKS, ANSWERS], max_model_len=prompt + asks + 50)
    played = await play(engine, folder, policy=NEVER, max_tokens=asks + 5)
    assert [r.max_tokens for r in engine.requests] == [asks + 5, 5]
    assert played.trajectory.detail == "max_tokens"


async def test_the_context_limit_has_its_own_name(folder: Path) -> None:
    codec = PromptCodec.load(folder)
    start = Trajectory("s", "m", codec.encode_prompt([Message("user", "Nora buys 6 pens.")]))
    size = len(start.token_ids)
    engine = ScriptedEngine(folder, [ANSWERS], max_model_len=size + 4)
    played = await play(engine, folder, start)
    assert (played.trajectory.status, played.trajectory.detail) == (Status.INCOMPLETE, "context_length")
    assert engine.requests[0].max_tokens == 4
    assert played.trajectory.malformed == ()  # cut short by us: no fault of the model
    with pytest.raises(ContextLengthExceeded):
        await play(ScriptedEngine(folder, [ANSWERS], max_model_len=size), folder, start)


@pytest.mark.parametrize(
    ("text", "detail", "malformed"),
    [
        ("\nSo 24, I am sure.", "missing_think_close", ("missing_think_close",)),
        ("\nHm. <asking>How much", "unclosed_ask", ("unclosed_ask", "missing_think_close")),
    ],
)
async def test_ending_inside_the_reasoning_is_a_named_failure(
    folder: Path, text: str, detail: str, malformed: tuple[str, ...]
) -> None:
    played = await play(ScriptedEngine(folder, [text]), folder)
    assert (played.trajectory.status, played.trajectory.detail) == (Status.FAILED, detail)
    assert played.trajectory.malformed == malformed
    assert played.ended.finish_reason == "stop"
    assert played.reasoning == text.strip().replace("<asking>", "")  # what there is is delivered
    assert played.answer == ""


@pytest.mark.parametrize("chunk_tokens", [1, 2, 1000])
async def test_stop_strings_end_the_answer_and_not_the_reasoning(folder: Path, chunk_tokens: int) -> None:
    text = "\nSTOP here? No.\n</think>\nThe answer is 24. STOP. And more."
    engine = ScriptedEngine(folder, [text], chunk_tokens=chunk_tokens)
    played = await play(engine, folder, stop=("STOP", "never said"))
    assert played.reasoning == "STOP here? No.\n"
    assert played.answer == "The answer is 24. "
    assert played.trajectory.status is Status.COMPLETED
    assert engine.running == 0


async def test_text_that_only_begins_like_a_stop_string_is_delivered(folder: Path) -> None:
    played = await play(ScriptedEngine(folder, ["\n</think>\nThe end is ST"], chunk_tokens=1), folder, stop=("STOP",))
    assert played.answer == "The end is ST"


async def test_each_leg_has_its_own_seed_and_the_same_each_time(folder: Path) -> None:
    async def seeds() -> list[int | None]:
        engine = ScriptedEngine(folder, [ASKS, ASKS, ANSWERS])
        await play(engine, folder, policy=NEVER, sampling=SamplingParams(seed=7))
        return [r.sampling.seed for r in engine.requests]

    drawn = await seeds()
    assert drawn[0] == 7 and len(set(drawn)) == 3
    assert drawn == await seeds()


async def test_a_stop_string_met_with_the_last_token_of_the_budget_completes_the_answer(folder: Path) -> None:
    text = "\n</think>\nThe answer is 24. STOP"
    engine = ScriptedEngine(folder, [text + " And more."], chunk_tokens=1000)
    budget = len(engine.tokenizer.encode(text, add_special_tokens=False).ids)
    played = await play(engine, folder, stop=("STOP",), max_tokens=budget)
    assert played.answer == "The answer is 24. "
    assert played.trajectory.status is Status.COMPLETED


async def test_each_leg_carries_its_session_tenant_and_number(folder: Path) -> None:
    engine = ScriptedEngine(folder, [ASKS, ANSWERS])
    await play(engine, folder, policy=NEVER, tenant="acme", request_id="r")
    assert [(r.session, r.tenant, r.request_id) for r in engine.requests] == [
        ("s", "acme", "r-0"),
        ("s", "acme", "r-1"),
    ]


async def test_closing_the_run_aborts_the_engine(folder: Path) -> None:
    engine = ScriptedEngine(folder, [Line(ANSWERS, delay_s=0.01)], chunk_tokens=1)
    codec = PromptCodec.load(folder)
    start = Trajectory("s", "m", codec.encode_prompt([Message("user", "Hi")]))
    async with aclosing(run(start, engine=engine, codec=codec, params=RunParams())) as events:
        async for _ in events:
            break
    assert (engine.aborted, engine.running) == (1, 0)


async def test_steps_are_scored_in_every_leg_and_only_on_request(folder: Path) -> None:
    engine = ScriptedEngine(folder, [ASKS, ANSWERS])
    played = await play(engine, folder, policy=NEVER, uncertainty=True)
    assert [(s.leg, s.step.text.strip()) for s in played.steps] == [
        (0, "The number of pens is 6."),
        (0, "I need the price."),
        (1, "One costs 4 dollars, so 24 in all."),
    ]
    assert all(s.step.entropy > 0 and s.step.num_tokens > 0 for s in played.steps)
    quiet = ScriptedEngine(folder, [ANSWERS])
    assert (await play(quiet, folder)).steps == []
    assert not quiet.requests[0].logprobs


async def test_reasoning_tokens_are_those_up_to_the_end_of_the_think_block(tokenizer_dir: Path) -> None:
    played = await play(ScriptedEngine(tokenizer_dir, [ANSWERS], chunk_tokens=1000), tokenizer_dir)
    encode = ScriptedEngine(tokenizer_dir, []).tokenizer.encode
    thought = ANSWERS[: ANSWERS.index("</think>") + len("</think>")]
    assert played.ended.usage.reasoning_tokens == len(encode(thought, add_special_tokens=False).ids)


async def test_a_run_may_begin_only_where_generation_may(tokenizer_dir: Path) -> None:
    first = await play(ScriptedEngine(tokenizer_dir, [ASKS]), tokenizer_dir)
    with pytest.raises(AssertionError):
        await play(ScriptedEngine(tokenizer_dir, [ANSWERS]), tokenizer_dir, first.trajectory)
    assert replace(first.trajectory, model="other").token_ids == first.trajectory.token_ids
