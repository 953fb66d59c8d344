"""The uncertainty gate: a step of high entropy becomes an ask, whose question the model writes."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from pir_serve.loop import AnswerDelta, Ended, Mailbox, ReasoningDelta, RunParams, run
from pir_serve.policy import NEVER, AskPolicy, Gate
from pir_serve.prompt import Message, PromptCodec
from pir_serve.store import codec as stored
from pir_serve.trajectory import Author, Status, Trajectory
from tests.fakes import ScriptedEngine

GATE = Gate(1.0)
QUESTION = "How much is one pen?"
FIRST = "\nThe number of pens is 6.\nPerhaps one costs 3.\nSo 18.\n</think>\nThe answer is 18."
UP_TO = "\nThe number of pens is 6.\nPerhaps one costs 3.\n"
ANSWER = "\nSo 24 in all.\n</think>\nThe answer is 24."


class Unsure(ScriptedEngine):
    """Is unsure (2 nats a token) in lines that begin with "Perhaps", and sure (0.01) elsewhere."""

    async def generate(self, request: Any) -> Any:
        decoder_text = ""
        async with aclosing(super().generate(request)) as chunks:
            async for chunk in chunks:
                logprobs = []
                for token in chunk.token_ids:
                    decoder_text += self.tokenizer.decode([token], skip_special_tokens=False)
                    line = decoder_text.rpartition("\n")[2]
                    logprobs.append(-2.0 if "Perhaps".startswith(line[:7]) and line else -0.01)
                fields = (chunk.token_ids, chunk.text, tuple(logprobs) if request.logprobs else ())
                yield type(chunk)(*fields, chunk.finish_reason, chunk.usage)


@pytest.fixture(params=["atomic", "plain"])
def folder(request: pytest.FixtureRequest, tokenizer_dir: Path, plain_tokenizer_dir: Path) -> Path:
    return tokenizer_dir if request.param == "atomic" else plain_tokenizer_dir


async def play(engine: ScriptedEngine, folder: Path, start: Trajectory | None = None, **params: Any) -> Any:
    """(the trajectory, reasoning shown, answer shown)"""
    codec = PromptCodec.load(folder)
    start = start or Trajectory("s", "m", codec.encode_prompt([Message("user", "Nora buys 6 pens.")]))
    mailbox = params.pop("mailbox", None)
    reasoning = answer = ""
    async for event in run(start, engine=engine, codec=codec, params=RunParams(**params), mailbox=mailbox):
        if isinstance(event, ReasoningDelta):
            reasoning += event.text
        elif isinstance(event, AnswerDelta):
            answer += event.text
        elif isinstance(event, Ended):
            return event.trajectory, reasoning, answer
    raise AssertionError("the run ended without Ended")


def respond(folder: Path, trajectory: Trajectory, text: str = "4 dollars") -> Trajectory:
    return trajectory.respond(text, PromptCodec.load(folder).encode_response(text), by=Author.USER)


@pytest.mark.parametrize("chunk_tokens", [1, 2, 3, 1000])
async def test_an_unsure_step_opens_an_ask_behind_it(folder: Path, chunk_tokens: int) -> None:
    engine = Unsure(folder, [FIRST, f"{QUESTION}</asking>", ANSWER], chunk_tokens=chunk_tokens)
    asked, reasoning, answer = await play(engine, folder, gate=GATE)
    assert asked.status is Status.AWAITING_USER and asked.pending is not None
    assert (asked.pending.text, asked.pending.opened_by) == (QUESTION, Author.TEMPLATE)
    assert asked.completion_text == f"{UP_TO}<asking>{QUESTION}</asking>"
    assert [s.author for s in asked.segments[-3:]] == [Author.MODEL, Author.TEMPLATE, Author.MODEL]
    assert asked.segments[-2].text == "<asking>"
    assert reasoning == UP_TO.lstrip() and answer == ""
    assert engine.prompt_text(1).endswith(f"{UP_TO}<asking>")
    assert engine.running == 0
    ids = asked.token_ids
    assert all(ids[: len(r.prompt_ids)] == r.prompt_ids for r in engine.requests)
    assert stored.load(stored.dump(asked))[0] == asked

    done, _, answer = await play(engine, folder, respond(folder, asked), gate=GATE)
    assert done.status is Status.COMPLETED and answer == "The answer is 24."
    assert done.exchanges[0].ask.opened_by is Author.TEMPLATE


async def test_chunks_do_not_change_the_ids(folder: Path) -> None:
    ids = set()
    for chunk_tokens in (1, 2, 3, 5, 1000):
        engine = Unsure(folder, [FIRST, f"{QUESTION}</asking>"], chunk_tokens=chunk_tokens)
        ids.add(tuple((await play(engine, folder, gate=GATE))[0].token_ids))
    assert len(ids) == 1


async def test_the_gate_is_shut_where_the_user_may_not_be_asked_or_nobody_opened_it(folder: Path) -> None:
    shut: list[dict[str, Any]] = [
        {},
        {"gate": Gate(2.5)},
        {"gate": GATE, "policy": NEVER},
        {"gate": GATE, "max_asks": 0},
        {"gate": Gate(1.0, max_openings=0)},
    ]
    for params in shut:
        engine = Unsure(folder, [FIRST])
        done, _, answer = await play(engine, folder, **params)
        assert answer == "The answer is 18." and done.num_asks == 0 and len(engine.requests) == 1
    assert engine.requests[0].logprobs  # the gate needs them, and says so


async def test_the_last_step_opens_an_ask_before_the_think_block_ends(folder: Path) -> None:
    engine = Unsure(folder, ["\nPerhaps 18.\n</think>\nThe answer is 18.", f"{QUESTION}</asking>"], chunk_tokens=1)
    asked, _, answer = await play(engine, folder, gate=GATE)
    assert asked.completion_text == f"\nPerhaps 18.\n<asking>{QUESTION}</asking>" and answer == ""


async def test_a_model_that_asks_by_itself_is_let(folder: Path) -> None:
    engine = Unsure(folder, [f"\nPerhaps 18.\n<asking>{QUESTION}</asking>"], chunk_tokens=1)
    asked, _, _ = await play(engine, folder, gate=GATE)
    assert asked.pending is not None and asked.pending.opened_by is Author.MODEL
    assert len(engine.requests) == 1


UNSURE_AGAIN = "\nOne costs 4.\nPerhaps with tax.\nPerhaps 24.\nIt is 24.\nPerhaps.\n</think>\nThe answer is 24."


async def test_openings_keep_their_distance_and_are_counted_over_resumes(folder: Path) -> None:
    ask = f"{QUESTION}</asking>"
    gate = Gate(1.0, max_openings=2, min_steps=2)
    first, _, _ = await play(Unsure(folder, [FIRST, ask]), folder, gate=gate)
    engine = Unsure(folder, [UNSURE_AGAIN, ask])
    second, _, _ = await play(engine, folder, respond(folder, first), gate=gate)
    told = "\nOne costs 4.\nPerhaps with tax.\nPerhaps 24.\n"  # two steps lie between, not one
    assert second.completion_text.endswith(f"</response>{told}<asking>{QUESTION}</asking>")
    third, _, answer = await play(Unsure(folder, [UNSURE_AGAIN]), folder, respond(folder, second), gate=gate)
    assert third.status is Status.COMPLETED and answer == "The answer is 24."
    assert [e.ask.opened_by for e in third.exchanges] == [Author.TEMPLATE] * 2


async def test_the_policys_cap_shuts_the_gate_too(folder: Path) -> None:
    first, _, _ = await play(Unsure(folder, [FIRST, f"{QUESTION}</asking>"]), folder, gate=GATE, policy=AskPolicy(1))
    engine = Unsure(folder, [FIRST])
    done, _, _ = await play(engine, folder, respond(folder, first), gate=Gate(1.0, min_steps=0), policy=AskPolicy(1))
    assert done.status is Status.COMPLETED and done.num_asks == 1


@pytest.mark.parametrize("chunk_tokens", [1, 1000])
@pytest.mark.parametrize(
    "unclosed", ["How much is", "Hm.</think>The answer is 9.", " </asking>", "word " * 300, "</think>", ""]
)
async def test_a_model_that_cannot_close_an_ask_goes_on_as_if_never_asked_to(
    folder: Path, unclosed: str, chunk_tokens: int
) -> None:
    """And nothing of what it wrote there is shown."""
    engine = Unsure(
        folder, [FIRST, unclosed, "So 18.\nPerhaps.\n</think>\nThe answer is 18."], chunk_tokens=chunk_tokens
    )
    done, reasoning, answer = await play(engine, folder, gate=Gate(1.0, min_steps=0))
    assert done.status is Status.COMPLETED and answer == "The answer is 18."
    assert done.completion_text == f"{UP_TO}So 18.\nPerhaps.\n</think>\nThe answer is 18."
    assert reasoning == f"{UP_TO}So 18.\nPerhaps.\n".lstrip()
    assert done.malformed == ("gate_abandoned",) and done.num_asks == 0
    assert engine.requests[1].max_tokens <= 128


async def test_a_budget_spent_within_the_opened_ask_ends_without_it(folder: Path) -> None:
    engine = Unsure(folder, [FIRST, "word " * 50], chunk_tokens=1)
    done, _, _ = await play(engine, folder, gate=GATE, max_tokens=len(engine.tokenizer.encode(UP_TO).ids) + 5)
    assert (done.status, done.detail) == (Status.INCOMPLETE, "max_tokens")
    assert done.completion_text == UP_TO


async def test_what_is_said_while_the_opened_question_is_written_answers_it(folder: Path) -> None:
    mailbox = Mailbox()

    class Telling(Unsure):
        async def generate(self, request: Any) -> Any:
            if len(self.requests) == 1:
                assert mailbox.steer("4 dollars.")
            async with aclosing(super().generate(request)) as chunks:
                async for chunk in chunks:
                    yield chunk

    engine = Telling(folder, [FIRST, f"{QUESTION}</asking>", ANSWER], chunk_tokens=1)
    done, _, answer = await play(engine, folder, gate=GATE, mailbox=mailbox)
    assert answer == "The answer is 24."
    assert [(e.response, e.reason, e.ask.opened_by) for e in done.exchanges] == [
        ("4 dollars.", "volunteered", Author.TEMPLATE)
    ]
    engine = Telling(folder, [FIRST, "Hm.</think>", ANSWER], chunk_tokens=1)
    mailbox = Mailbox()
    done, _, answer = await play(engine, folder, gate=GATE, mailbox=mailbox)
    assert done.completion_text == f"{UP_TO}\n<response>4 dollars.</response>{ANSWER}"
    assert [v.text for v in done.volunteered] == ["4 dollars."]


def test_a_gate_of_nonsense_is_refused() -> None:
    for wrong in ({"nats": -1.0}, {"nats": float("nan")}, {"nats": 1.0, "max_openings": -1}):
        with pytest.raises(ValueError, match="negative"):
            Gate(**wrong)  # type: ignore[arg-type]
