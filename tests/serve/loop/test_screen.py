"""Asks that do not reach the user as the model put them: why is told, and the reasoning goes on."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from pir_serve.loop import Ended, Mailbox, RunParams, run
from pir_serve.policy import NEVER, AskPolicy
from pir_serve.prompt import Message, PromptCodec
from pir_serve.screen import AskContext, Decision, Screening
from pir_serve.screening import load_screening
from pir_serve.store import codec as stored
from pir_serve.trajectory import Author, Status, Trajectory
from tests.fakes import ScriptedEngine

HARMLESS = "How much does one pen cost?"
ASKS = f"\nI need the price.\n<asking>{HARMLESS}</asking>"
SECRET = "What is the password of your shop's website?"
PROBES = f"\nThe price is on the site.\n<asking>{SECRET}</asking>"
ANSWERS = "\nOne costs 4 dollars.\n</think>\nThe answer is 24."


async def play(
    engine: ScriptedEngine, folder: Path, start: Trajectory | None = None, mailbox: Mailbox | None = None, **params: Any
) -> Trajectory:
    codec = PromptCodec.load(folder)
    start = start or Trajectory("s", "m", codec.encode_prompt([Message("user", "Nora buys 6 pens.")]))
    async with aclosing(run(start, engine=engine, codec=codec, params=RunParams(**params), mailbox=mailbox)) as events:
        async for event in events:
            if isinstance(event, Ended):
                return event.trajectory
    raise AssertionError("the run ended without Ended")


def reasons(trajectory: Trajectory) -> list[tuple[str, Author, str]]:
    return [(e.response, e.by, e.reason) for e in trajectory.exchanges]


async def test_each_reason_why_the_user_was_not_asked_is_told_and_stored(tokenizer_dir: Path) -> None:
    folder = tokenizer_dir
    never = await play(ScriptedEngine(folder, [ASKS, ANSWERS]), folder, policy=NEVER, auto_response="Guess.")
    assert reasons(never) == [("Guess.", Author.TEMPLATE, "never")]
    first = await play(ScriptedEngine(folder, [ASKS]), folder, policy=AskPolicy(1))
    told = first.respond("4", PromptCodec.load(folder).encode_response("4"), by=Author.USER)
    capped = await play(ScriptedEngine(folder, [ASKS, ANSWERS]), folder, told, policy=AskPolicy(1))
    assert [reason for _, _, reason in reasons(capped)] == ["", "max"]
    empty = await play(ScriptedEngine(folder, ["\n<asking> </asking>", ANSWERS]), folder)
    assert [reason for _, _, reason in reasons(empty)] == ["empty"]
    for trajectory in (never, capped, empty):
        assert stored.load(stored.dump(trajectory))[0] == trajectory


async def test_a_blocked_ask_is_answered_neutrally_and_the_model_goes_on(tokenizer_dir: Path) -> None:
    engine = ScriptedEngine(tokenizer_dir, [PROBES, ANSWERS])
    screen = load_screening()
    done = await play(engine, tokenizer_dir, screen=screen)
    neutral = "The user cannot be asked about this. Go on without it."
    assert done.status is Status.COMPLETED
    assert reasons(done) == [(neutral, Author.TEMPLATE, "screen:credentials")]
    assert engine.prompt_text().endswith(f"{SECRET}</asking>\n<response>{neutral}</response>")
    assert screen.counts == {("block", "credentials"): 1}


async def test_blocked_asks_do_not_use_up_what_the_user_may_be_asked(tokenizer_dir: Path) -> None:
    engine = ScriptedEngine(tokenizer_dir, [PROBES, ASKS])
    asked = await play(engine, tokenizer_dir, screen=load_screening(), policy=AskPolicy(1))
    assert asked.pending is not None and asked.pending.text == HARMLESS


async def test_a_model_that_insists_meets_the_loop_guard(tokenizer_dir: Path) -> None:
    engine = ScriptedEngine(tokenizer_dir, [PROBES] * 9)
    done = await play(engine, tokenizer_dir, screen=load_screening(), max_asks=3)
    assert (done.status, done.detail) == (Status.INCOMPLETE, "max_asks")


class Rewords:
    async def check(self, question: str, context: AskContext) -> Decision:
        assert context.trajectory.completion_text.endswith(f"<asking>{question}</asking>")
        assert (context.tenant, context.request_id) == ("t", "r")
        return Decision("rewrite", "soft", "What does the site say a pen costs?")


async def test_a_rewritten_ask_changes_what_is_shown_and_no_token(tokenizer_dir: Path) -> None:
    plain = await play(ScriptedEngine(tokenizer_dir, [PROBES]), tokenizer_dir)
    engine = ScriptedEngine(tokenizer_dir, [PROBES, ANSWERS])
    asked = await play(engine, tokenizer_dir, screen=Screening([Rewords()]), tenant="t", request_id="r")
    assert asked.status is Status.AWAITING_USER and asked.pending is not None
    assert (asked.pending.text, asked.pending.original) == ("What does the site say a pen costs?", SECRET)
    assert asked.token_ids == plain.token_ids
    assert stored.load(stored.dump(asked))[0] == asked
    told = asked.respond("4", PromptCodec.load(tokenizer_dir).encode_response("4"), by=Author.USER)
    done = await play(engine, tokenizer_dir, told)
    assert done.exchanges[0].ask.original == SECRET and reasons(done) == [("4", Author.USER, "")]


class Fails:
    async def check(self, question: str, context: AskContext) -> Decision:
        raise RuntimeError("the classifier is down")


async def test_a_screen_that_fails_loses_no_trajectory(tokenizer_dir: Path) -> None:
    engine = ScriptedEngine(tokenizer_dir, [ASKS, ANSWERS])
    done = await play(engine, tokenizer_dir, screen=Screening([Fails()]))
    assert done.status is Status.COMPLETED and [r for _, _, r in reasons(done)] == ["screen:failure"]
    asked = await play(
        ScriptedEngine(tokenizer_dir, [ASKS]), tokenizer_dir, screen=Screening([Fails()], on_failure="allow")
    )
    assert asked.pending is not None and asked.pending.text == HARMLESS


async def test_no_screen_is_asked_about_what_would_not_be_shown(tokenizer_dir: Path) -> None:
    screen = load_screening()
    done = await play(ScriptedEngine(tokenizer_dir, [PROBES, ANSWERS]), tokenizer_dir, screen=screen, policy=NEVER)
    assert [r for _, _, r in reasons(done)] == ["never"] and not screen.counts


@pytest.mark.parametrize("action", ["allow", "block", "rewrite"])
async def test_what_is_said_while_the_screen_thinks_goes_in_and_nothing_is_shown(
    tokenizer_dir: Path, action: Any
) -> None:
    mailbox = Mailbox()

    class Thinks:
        async def check(self, question: str, context: AskContext) -> Decision:
            await asyncio.sleep(0)
            assert mailbox.steer("4 dollars.")
            return Decision(action, "r", "Other words?")

    engine = ScriptedEngine(tokenizer_dir, [ASKS, ANSWERS])
    done = await play(engine, tokenizer_dir, mailbox=mailbox, screen=Screening([Thinks()]))
    assert done.status is Status.COMPLETED
    assert reasons(done) == [("4 dollars.", Author.USER, "volunteered")]


async def test_a_question_that_the_user_declined_counts_as_shown(tokenizer_dir: Path) -> None:
    engine = ScriptedEngine(tokenizer_dir, [ASKS, ASKS, ANSWERS])
    asked = await play(engine, tokenizer_dir, policy=AskPolicy(1))
    segment = PromptCodec.load(tokenizer_dir).encode_response("No answer.", Author.TEMPLATE)
    declined = asked.respond("No answer.", segment, by=Author.TEMPLATE, reason="declined")
    done = await play(engine, tokenizer_dir, declined, policy=AskPolicy(1))
    assert [r for _, _, r in reasons(done)] == ["declined", "max"]
