"""What models that never learnt to ask get wrong in the markup, mended in prompted mode, and told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pir_serve.loop import AnswerDelta, Ended, Mailbox, ReasoningDelta, RunParams, run
from pir_serve.policy import NEVER
from pir_serve.prompt import Message, PromptCodec
from pir_serve.store import codec as stored
from pir_serve.trajectory import Author, Status, Trajectory
from tests.fakes import Line, ScriptedEngine
from tests.serve.conftest import in_process

QUESTION = "How much is one pen?"
ASK = f"<asking>{QUESTION}</asking>"


@pytest.fixture(params=["atomic", "plain"])
def folder(request: pytest.FixtureRequest, tokenizer_dir: Path, plain_tokenizer_dir: Path) -> Path:
    return tokenizer_dir if request.param == "atomic" else plain_tokenizer_dir


class Played:
    """What a run of scripted lines came to."""

    def __init__(self, folder: Path, lines: Sequence[str | Line], *, chunk_tokens: int = 3) -> None:
        self.codec = PromptCodec.load(folder)
        self.engine = ScriptedEngine(folder, lines, chunk_tokens=chunk_tokens)
        self.reasoning = self.answer = ""

    async def run(self, start: Trajectory | None = None, mailbox: Mailbox | None = None, **params: Any) -> Trajectory:
        start = start or Trajectory("s", "m", self.codec.encode_prompt([Message("user", "Nora buys 6 pens.")]))
        chosen = RunParams(**{"mends_markup": True, **params})
        async for event in run(start, engine=self.engine, codec=self.codec, params=chosen, mailbox=mailbox):
            if isinstance(event, ReasoningDelta):
                self.reasoning += event.text
            elif isinstance(event, AnswerDelta):
                self.answer += event.text
            elif isinstance(event, Ended):
                self._check(event.trajectory)
                return event.trajectory
        raise AssertionError("the run ended without Ended")

    def _check(self, trajectory: Trajectory) -> None:
        """Each leg was sent what the trajectory holds, or held when an opened ask came to nothing; it can be stored."""
        ids = trajectory.token_ids
        last = self.engine.requests[-1].prompt_ids
        assert ids[: len(last)] == last
        assert self.codec.decode(ids).endswith(trajectory.completion_text)
        assert stored.load(stored.dump(trajectory))[0] == trajectory

    def respond(self, trajectory: Trajectory) -> Trajectory:
        return trajectory.respond("4 dollars", self.codec.encode_response("4 dollars"), by=Author.USER)


@pytest.mark.parametrize("chunk_tokens", [1, 2, 1000])
async def test_reasoning_without_an_end_is_closed_and_answered(folder: Path, chunk_tokens: int) -> None:
    played = Played(folder, ["\nSix pens, so 24.", "The answer is 24."], chunk_tokens=chunk_tokens)
    done = await played.run()
    assert (done.status, played.reasoning, played.answer) == (Status.COMPLETED, "Six pens, so 24.", "The answer is 24.")
    assert done.malformed == ("missing_think_close",)
    assert done.completion_text == "\nSix pens, so 24.\n</think>\n\nThe answer is 24."
    assert [s.author for s in done.segments[-3:]] == [Author.MODEL, Author.TEMPLATE, Author.MODEL]
    assert played.engine.prompt_text().endswith("Six pens, so 24.\n</think>\n\n")
    assert done.segments[-3].sampled_ids is not None  # with the token that ended the turn
    assert done.segments[-3].sampled_ids[:-1] == done.segments[-3].token_ids


async def test_a_model_that_has_no_more_to_say_has_failed(folder: Path) -> None:
    for lines in (["\nSix pens, so 24.", ""], ["\nSix pens, so 24.", "\n \n"], [""]):
        played = Played(folder, lines)
        done = await played.run()
        assert (done.status, done.detail, played.answer) == (Status.FAILED, "missing_think_close", "")
        assert len(played.engine.requests) == len(lines)


async def test_a_limit_is_a_limit_and_no_fault(folder: Path) -> None:
    played = Played(folder, ["\nSix pens, " * 20])
    done = await played.run(max_tokens=9)
    assert (done.status, done.detail, done.malformed) == (Status.INCOMPLETE, "max_tokens", ())
    played = Played(folder, ["\nSix pens.", "The answer is a long one. " * 9])
    done = await played.run(max_tokens=20)
    assert (done.status, done.detail, done.malformed) == (Status.INCOMPLETE, "max_tokens", ("missing_think_close",))
    assert done.num_model_tokens == 20 and played.answer


@pytest.mark.parametrize("chunk_tokens", [1, 2, 1000])
@pytest.mark.parametrize("gap", ["", "\n", "\n\n "])
async def test_an_ask_at_the_answers_beginning_is_asked_in_the_reasoning(
    folder: Path, gap: str, chunk_tokens: int
) -> None:
    lines = [f"\nI need the price.\n</think>{gap}{ASK}", f"{QUESTION}</asking>", "\nSo 24.\n</think>\n24."]
    played = Played(folder, lines, chunk_tokens=chunk_tokens)
    asked = await played.run()
    assert asked.status is Status.AWAITING_USER and asked.pending is not None
    assert (asked.pending.text, asked.pending.opened_by) == (QUESTION, Author.TEMPLATE)
    assert asked.completion_text == f"\nI need the price.\n{ASK}"
    assert asked.malformed == ("late_ask",)
    assert (played.reasoning, played.answer) == ("I need the price.\n", "")
    done = await played.run(played.respond(asked))
    assert done.status is Status.COMPLETED and played.answer == "24."


async def test_a_late_ask_that_comes_to_nothing_is_shown_as_it_is(folder: Path) -> None:
    played = Played(folder, [f"\nHm.\n</think>{ASK}", "Well.\n</think>", f"</think>{ASK}"])
    done = await played.run()
    assert done.status is Status.COMPLETED and played.answer == ASK
    assert done.malformed == ("late_ask", "gate_abandoned")


@pytest.mark.parametrize("answer", ["<ask me", "<", "It is 24. <asking>No?</asking>", "<asking", " <b>24</b>"])
async def test_other_answers_are_literal(folder: Path, answer: str) -> None:
    played = Played(folder, [f"\nHm.\n</think>\n{answer}"], chunk_tokens=1)
    done = await played.run()
    assert done.status is Status.COMPLETED and played.answer == answer.lstrip()
    assert done.malformed == ()


@pytest.mark.parametrize("chunk_tokens", [1, 2, 1000])
async def test_a_question_that_was_left_open_is_asked(folder: Path, chunk_tokens: int) -> None:
    lines = [f"\nI need the price.\n<asking>{QUESTION}", "\nSo 24.\n</think>\n24."]
    played = Played(folder, lines, chunk_tokens=chunk_tokens)
    asked = await played.run()
    assert asked.pending is not None and asked.pending.text == QUESTION
    assert asked.completion_text == f"\nI need the price.\n{ASK}" and asked.malformed == ("unclosed_ask",)
    assert (asked.segments[-1].author, asked.segments[-1].text) == (Author.TEMPLATE, "</asking>")
    done = await played.run(played.respond(asked))
    assert done.status is Status.COMPLETED and played.answer == "24."
    assert played.engine.prompt_text().endswith(f"{ASK}\n<response>4 dollars</response>")


@pytest.mark.parametrize("rest", ["", "  ", "How much?\nWell, say 4. So 24."])
async def test_what_is_no_question_is_not_made_one(folder: Path, rest: str) -> None:
    played = Played(folder, [f"\nHm. <asking>{rest}"])
    done = await played.run()
    assert (done.status, done.detail) == (Status.FAILED, "unclosed_ask") and done.num_asks == 0


async def test_where_nobody_may_be_asked_a_mended_ask_is_answered_for_the_user(folder: Path) -> None:
    for lines in (
        [f"\nHm.\n</think>{ASK}", f"{QUESTION}</asking>", "\nSo 24.\n</think>\n24."],
        [f"\nHm.\n<asking>{QUESTION}", "\nSo 24.\n</think>\n24."],
    ):
        played = Played(folder, lines)
        done = await played.run(policy=NEVER, auto_response="Guess.")
        assert done.status is Status.COMPLETED and played.answer == "24."
        assert [(e.ask.text, e.response, e.reason) for e in done.exchanges] == [(QUESTION, "Guess.", "never")]


async def test_a_model_that_only_ever_asks_late_ends_at_the_cap(folder: Path) -> None:
    played = Played(folder, [f"\nHm.\n</think>{ASK}", f"{QUESTION}</asking>"] * 4)
    done = await played.run(policy=NEVER, max_asks=3)
    assert (done.status, done.detail) == (Status.INCOMPLETE, "max_asks")


async def test_what_the_user_says_meanwhile_still_goes_in(folder: Path) -> None:
    class Telling(ScriptedEngine):
        async def generate(self, request: Any) -> Any:
            mailbox.steer("One costs 4.") if len(self.requests) == 1 else None
            async for chunk in super().generate(request):
                yield chunk

    mailbox = Mailbox()
    played = Played(folder, [])
    lines = [f"\nHm.\n</think>{ASK}", f"{QUESTION}</asking>", "\nSo 24.\n</think>\n24."]
    played.engine = Telling(folder, lines, chunk_tokens=1)
    done = await played.run(mailbox=mailbox)
    assert done.status is Status.COMPLETED and played.answer == "24."
    assert [(e.response, e.reason) for e in done.exchanges] == [("One costs 4.", "volunteered")]


async def test_a_trained_models_faults_are_left_as_they_are(folder: Path) -> None:
    for text, detail in (("\nSo 24.", "missing_think_close"), (f"\nHm. <asking>{QUESTION}", "unclosed_ask")):
        done = await Played(folder, [text]).run(mends_markup=False)
        assert (done.status, done.detail) == (Status.FAILED, detail)
    played = Played(folder, [f"\nHm.\n</think>{ASK}"])
    done = await played.run(mends_markup=False)
    assert done.status is Status.COMPLETED and played.answer == ASK


async def test_over_http_the_reply_names_what_was_mended(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(["\nSix pens.", "24.", f"\nHm.\n</think>{ASK}", f"{QUESTION}</asking>"])
    body = {"model": "scripted", "messages": [{"role": "user", "content": "Nora buys 6 pens."}]}
    async with in_process(desk) as client:
        message = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]
        assert (message["content"], message["reasoning_content"]) == ("24.", "Six pens.")
        assert (message["pir"]["status"], message["pir"]["malformed"]) == ("completed", ["missing_think_close"])
        message = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]
        assert (message["content"], message["pir"]["status"]) == (QUESTION, "awaiting_user")
        assert message["pir"]["malformed"] == ["late_ask"]
