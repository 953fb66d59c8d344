"""The keyed hashes of visible text: of any text, equal for equal conversations only, and not slow."""

from __future__ import annotations

import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.resume import Keys
from pir_serve.transcript import Turn, canonical, visible
from tests.serve.resume.conftest import SECRET, P, Q, R, World, asked, user

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates included
turns = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool", "?"]), any_text))
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not a failure."""


def test_roles_and_lengths_are_part_of_the_hash() -> None:
    conversations = [
        [user("one"), asked("two")],
        [user("oneassistanttwo")],
        [user("one assistant two")],
        [asked("one"), user("two")],
        [user("one"), user("assistant"), user("two")],
        [user("one"), asked("two"), user("three")],
    ]
    assert len({Keys(SECRET).transcript(visible(c)) for c in conversations}) == len(conversations)


@patient
@given(turns, any_text)
def test_keys_are_made_of_any_text_and_depend_on_canonical_text_only(messages: list[Turn], question: str) -> None:
    keys = Keys(SECRET)
    made = keys.for_suspension(messages, question)
    assert made == keys.for_suspension(messages, question)
    as_cleaned = keys.for_suspension([(role, canonical(text)) for role, text in messages], canonical(question))
    assert made.transcript_key == as_cleaned.transcript_key
    assert made.question_key == as_cleaned.question_key
    assert made.system_key == as_cleaned.system_key
    assert made.transcript_key == keys.transcript(visible([*messages, ("assistant", question)]))


@patient
@given(any_text)
def test_canonical_text_is_its_own_canonical_text(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@patient
@given(turns, turns)
def test_different_conversations_have_different_keys(a: list[Turn], b: list[Turn]) -> None:
    def seen(messages: list[Turn]) -> list[tuple[str, str]]:
        return [(turn.role, turn.canonical) for turn in visible(messages)]

    keys = Keys(SECRET)
    assert (keys.transcript(visible(a)) == keys.transcript(visible(b))) is (seen(a) == seen(b))


async def test_a_huge_history_takes_time_in_proportion(world: World) -> None:
    text = "word " * 400

    async def cost(num_messages: int) -> float:
        history = [(("user", "assistant")[k % 2], f"{k} {text}") for k in range(num_messages)]
        await world.ask([*history, P])
        start = time.process_time()
        for _ in range(3):
            assert (await world.find(*history, P, Q, R)) is not None
        return time.process_time() - start

    await cost(20)
    assert await cost(2000) < 30 * await cost(200)
