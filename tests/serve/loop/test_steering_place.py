"""Where in the reasoning what a user says unasked goes in."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer

from pir_serve.loop import Ended, Mailbox, RunParams, run
from pir_serve.prompt import PromptCodec
from pir_serve.steering import Phase
from pir_serve.trajectory import Status
from tests.fakes import ScriptedEngine
from tests.serve.conftest import write_tokenizer
from tests.serve.loop.steering import FACT, REST, SAID, THINKS, Heard, Teller, check_ids, fresh, listen


@pytest.mark.parametrize("chunk_tokens", [1, 2, 3, 7, 1000])
async def test_what_is_said_at_any_moment_goes_in_at_the_end_of_a_line(folder: Path, chunk_tokens: int) -> None:
    num_tokens = len(ScriptedEngine(folder, []).tokenizer.encode(THINKS, add_special_tokens=False).ids)
    seen = set()
    for tell_at in range(num_tokens):
        mailbox = Mailbox()
        engine = Teller(folder, [THINKS, REST], tell_at=tell_at, mailbox=mailbox, chunk_tokens=chunk_tokens)
        heard = await listen(engine, folder, mailbox=mailbox)
        if not engine.accepted:
            assert heard.answer == "The answer is 18." and mailbox.undelivered == ()
            assert heard.trajectory.volunteered == () and len(engine.requests) == 1
            continue
        told = heard.trajectory.completion_text
        before, found, after = told.partition(SAID)
        assert found and after == REST
        assert THINKS.startswith(before) and (before == "" or before.endswith("\n"))
        assert "</think>" not in before
        assert heard.shown == f"{before.lstrip()}[{FACT}]\nSo 24 in all.\n"
        assert heard.answer == "The answer is 24."
        assert heard.trajectory.status is Status.COMPLETED and heard.trajectory.num_asks == 0
        assert [v.text for v in heard.trajectory.volunteered] == [FACT]
        assert len(heard.steered) == 1 and heard.steered[0].in_place_of is None
        assert (engine.running, mailbox.undelivered, mailbox.phase) == (0, (), Phase.ENDED)
        check_ids(heard, engine, folder)
        seen.add(before)
    assert len(seen) >= (1 if chunk_tokens == 1000 else 3)


async def test_how_the_engine_cuts_its_chunks_does_not_move_the_place(folder: Path) -> None:
    """As long as what was said came before the same line's end."""
    places = set()
    for chunk_tokens in (1, 2, 5, 1000):
        mailbox = Mailbox()
        engine = Teller(folder, [THINKS, REST], tell_at=0, mailbox=mailbox, chunk_tokens=chunk_tokens)
        heard = await listen(engine, folder, mailbox=mailbox)
        places.add(tuple(heard.trajectory.token_ids))
    assert len(places) == 1


async def test_the_leg_that_was_running_is_aborted_at_once(folder: Path) -> None:
    mailbox = Mailbox()
    engine = Teller(folder, [THINKS, REST], tell_at=3, mailbox=mailbox, chunk_tokens=1)
    await listen(engine, folder, mailbox=mailbox)
    assert (engine.aborted, engine.finished, engine.running) == (1, 1, 0)


async def test_what_is_said_before_the_run_begins_comes_before_its_first_token(folder: Path) -> None:
    mailbox = Mailbox()
    assert mailbox.steer(FACT)
    engine = ScriptedEngine(folder, [REST])
    heard = await listen(engine, folder, mailbox=mailbox)
    assert engine.prompt_text().endswith(f"<think>\n{SAID}")
    assert heard.trajectory.completion_text == SAID + REST
    assert heard.trajectory.prompt_segments == fresh(folder).segments
    check_ids(heard, engine, folder)


async def test_what_is_said_before_the_first_token_costs_only_that_token(folder: Path) -> None:
    mailbox = Mailbox()
    engine = Teller(folder, [THINKS, REST], tell_at=0, mailbox=mailbox, chunk_tokens=1)
    heard = await listen(engine, folder, mailbox=mailbox)
    assert heard.trajectory.completion_text == SAID + REST
    first = heard.trajectory.segments[len(fresh(folder).segments)]
    assert first.token_ids == () and len(first.sampled_ids or ()) == 1
    assert heard.ended is not None and heard.ended.usage.completion_tokens == heard.trajectory.num_model_tokens


async def test_nothing_goes_in_once_the_answer_has_begun(folder: Path) -> None:
    refused: list[bool] = []

    def tell(heard: Heard) -> None:
        if heard.answer:
            assert heard.mailbox.phase in (Phase.ANSWERING, Phase.ENDED)
            refused.append(heard.mailbox.steer(FACT))

    heard = await listen(ScriptedEngine(folder, [THINKS], chunk_tokens=1), folder, on_event=tell)
    assert refused and not any(refused)
    assert heard.answer == "The answer is 18." and heard.trajectory.volunteered == ()


async def test_two_facts_go_in_at_one_place_in_their_order(folder: Path) -> None:
    mailbox = Mailbox()

    def tell(heard: Heard) -> None:
        if heard.shown.endswith("pens") and not heard.steered:
            assert mailbox.steer("One.") and mailbox.steer("Two.")

    engine = ScriptedEngine(folder, [THINKS, REST], chunk_tokens=1)
    heard = await listen(engine, folder, mailbox=mailbox, on_event=tell)
    assert "pens is 6.\n\n<response>One.</response>\n<response>Two.</response>" in heard.trajectory.completion_text
    assert [s.text for s in heard.steered] == ["One.", "Two."]
    check_ids(heard, engine, folder)


async def test_a_second_fact_may_follow_the_first_into_the_next_leg(folder: Path) -> None:
    def tell(heard: Heard) -> None:
        if heard.shown.endswith("pens") and not heard.steered:
            assert heard.mailbox.steer("One.")
        if heard.shown.endswith("price") and len(heard.steered) == 1:
            assert heard.mailbox.steer("Two.")

    script = [THINKS, "\nI need the price.\nI guess.\n</think>\nNo.", REST]
    engine = ScriptedEngine(folder, script, chunk_tokens=1)
    heard = await listen(engine, folder, on_event=tell)
    assert [v.text for v in heard.trajectory.volunteered] == ["One.", "Two."]
    assert len(engine.requests) == 3 and heard.answer == "The answer is 24."
    check_ids(heard, engine, folder)


@pytest.mark.parametrize("chunk_tokens", [1, 2])
async def test_in_a_line_without_end_the_tag_is_the_place(folder: Path, chunk_tokens: int) -> None:
    for line in ("\nSo it is 18 </think> The answer is 18.", "\nSo it is 18 <asking>What?</asking>"):
        mailbox = Mailbox()
        engine = Teller(folder, [line, REST], tell_at=2, mailbox=mailbox, chunk_tokens=chunk_tokens)
        heard = await listen(engine, folder, mailbox=mailbox)
        before = heard.trajectory.completion_text.partition(SAID)[0]
        assert before == "\nSo it is 18 "
        assert heard.answer == "The answer is 24." and heard.trajectory.malformed == ()
        assert heard.trajectory.num_asks == 0
        check_ids(heard, engine, folder)


async def test_steps_are_scored_up_to_the_place_and_no_further(folder: Path) -> None:
    mailbox = Mailbox()
    engine = Teller(folder, [THINKS, REST], tell_at=0, mailbox=mailbox, chunk_tokens=1000)
    heard = await listen(engine, folder, mailbox=mailbox, uncertainty=True)
    assert [s.leg for s in heard.steps] == [1]
    mailbox = Mailbox()
    engine = Teller(folder, [THINKS, REST], tell_at=4, mailbox=mailbox, chunk_tokens=1)
    heard = await listen(engine, folder, mailbox=mailbox, uncertainty=True)
    assert [(s.leg, s.step.text.strip()) for s in heard.steps] == [
        (0, "The number of pens is 6."),
        (1, "So 24 in all."),
    ]


async def test_a_run_with_a_mailbox_that_nobody_uses_is_the_run_without(folder: Path) -> None:
    heard = await listen(ScriptedEngine(folder, [THINKS]), folder)
    engine = ScriptedEngine(folder, [THINKS])
    codec = PromptCodec.load(folder)
    async for event in run(fresh(folder), engine=engine, codec=codec, params=RunParams()):
        if isinstance(event, Ended):
            assert event == heard.ended


@pytest.mark.parametrize("chunk_tokens", [1, 2])
async def test_a_token_over_the_end_of_a_line_is_replaced_by_its_first_part(tmp_path: Path, chunk_tokens: int) -> None:
    """As with tags as text, where `</asking>` ends inside a token."""
    folder = write_tokenizer(tmp_path / "merged", atomic_tags=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(".\n</", normalized=False), AddedToken(".\nSo", normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    text = "A pen is 3.\nSo it is 18 in all.\n</think>\nThe answer is 18."
    mailbox = Mailbox()
    engine = Teller(folder, [text, REST], tell_at=2, mailbox=mailbox, chunk_tokens=chunk_tokens)
    heard = await listen(engine, folder, mailbox=mailbox)
    assert heard.trajectory.completion_text == f"A pen is 3.\nSo it is 18 in all.\n{SAID}{REST}"
    assert heard.shown.startswith("A pen is 3.\nSo it is 18 in all.\n[")
    kept = heard.trajectory.segments[len(fresh(folder).segments)]
    assert kept.sampled_ids is not None and kept.token_ids != kept.sampled_ids
    check_ids(heard, engine, folder)
