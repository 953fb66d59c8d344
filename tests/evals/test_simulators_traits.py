"""Personas: levels of traits over any user."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from random import Random

import pytest
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st

from evals.problems import generate, question
from evals.simulators import TRAITS, Exchange, Intent, Traits, simulator
from evals.simulators.disclosure import gives
from evals.simulators.told import question_for
from tests.evals.other_rows import ROWS

SAID = [
    (Intent.of(p), question(p.hidden[0], Random(p.row_id)), p.hidden[0])
    for p in generate("train", 25, 4, mode="incomplete")
]
SAID += [(Intent.of(row), question_for(row.hidden[0]), row.hidden[0]) for row in ROWS]
SHOWN_AT_ONCE = tuple(trait for trait in TRAITS if trait not in ("vague", "dont_know", "impatient", "one_fact"))
levels = st.fixed_dictionaries({}, optional={trait: st.integers(0, 3) for trait in TRAITS if trait != "impatient"})


async def _ask(persona: str, intent: Intent, ask: str, times: int = 2, seed: int = 0) -> list[Exchange]:
    user, history = simulator(persona=persona, seed=seed), []
    for _ in range(times):
        history.append(Exchange(ask, await user.respond(ask, intent=intent, history=history)))
    return history


@pytest.mark.parametrize("trait", TRAITS)
async def test_level_0_is_the_user_word_for_word(trait):
    for intent, ask, _ in SAID:
        assert await _ask(f"{trait}=0", intent, ask) == await _ask("", intent, ask)


@cases(levels, st.sampled_from(SAID), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_a_fact_is_recoverable_within_two_asks_whatever_the_persona(asked, case, seed):
    import asyncio

    intent, ask, fact = case
    history = asyncio.run(_ask(str(Traits(**asked)), intent, ask, seed=seed))
    assert any(gives(exchange.response.text, fact) for exchange in history), history
    for exchange in history:
        told = exchange.response.disclosed
        assert bool(told) == (exchange.response.kind == "answer")


@pytest.mark.parametrize("trait", SHOWN_AT_ONCE)
async def test_a_higher_level_changes_more(trait):
    distance = []
    for level in range(4):
        ratios = []
        for intent, ask, _ in SAID:
            plain = (await _ask("", intent, ask, 1))[0].response.text
            text = (await _ask(f"{trait}={level}", intent, ask, 1))[0].response.text
            ratios.append(1 - SequenceMatcher(None, plain, text, autojunk=False).ratio())
        distance.append(sum(ratios))
    assert distance[0] == 0
    assert distance == sorted(distance)
    assert distance[3] > distance[1] > 0 or trait == "terse"


@pytest.mark.parametrize("trait", ["vague", "dont_know"])
async def test_a_higher_level_holds_back_more_often_and_never_twice_running(trait):
    rates = []
    for level in range(4):
        held = 0
        for intent, ask, fact in SAID:
            for seed in range(4):
                first, second = await _ask(f"{trait}={level}", intent, ask, 2, seed)
                held += not first.response.disclosed
                if not first.response.disclosed:
                    assert not gives(first.response.text, fact)
                    assert second.response.disclosed == (fact.id,)
        rates.append(held)
    assert rates[0] == 0
    assert rates == sorted(rates)
    assert rates[3] > rates[1]


async def test_one_fact_per_turn():
    problems = [p for p in generate("train", 200, 6, mode="incomplete") if len(p.hidden) == 2]
    limited = 0
    for problem in problems:
        ask = " ".join(question(fact, Random(3)) for fact in problem.hidden)
        [plain] = await _ask("", Intent.of(problem), ask, 1)
        [one] = await _ask("one_fact=3", Intent.of(problem), ask, 1)
        assert len(one.response.disclosed) <= 1
        limited += len(plain.response.disclosed) == 2 > len(one.response.disclosed)
    assert limited >= 5


@pytest.mark.parametrize(("level", "patience"), [(1, 4), (2, 3), (3, 2)])
async def test_an_impatient_user_answers_no_more_at_the_limit(level, patience):
    intent, ask, fact = SAID[0]
    history = await _ask(f"impatient={level}", intent, ask, patience + 2)
    assert [bool(e.response.disclosed) for e in history] == [True] * patience + [False] * 2
    assert history[-1].response.kind == "refused"
    assert not gives(history[-1].response.text, fact)


async def test_digits_are_never_mistyped():
    for intent, ask, _ in SAID:
        plain = (await _ask("", intent, ask, 1))[0].response.text
        text = (await _ask("typos=3,nonnative=3,register=3", intent, ask, 1))[0].response.text
        assert re.findall(r"\d+", text) == re.findall(r"\d+", plain)


async def test_a_contradiction_is_taken_back_in_the_same_breath():
    wrong = 0
    for intent, ask, _ in SAID:
        plain = (await _ask("", intent, ask, 1))[0].response.text
        text = (await _ask("contradict=3", intent, ask, 1))[0].response.text
        assert text.endswith(plain)
        wrong += len(text) > len(plain)
    assert wrong > len(SAID) / 2


async def test_traits_compose():
    intent, ask, fact = SAID[-4]
    [said] = await _ask("terse=3,typos=2,tangent=3", intent, ask, 1)
    assert said.response.text == said.response.text.lower()
    assert gives(said.response.text, fact)


async def test_the_same_seed_gives_the_same_response_and_another_seed_another():
    persona = "typos=2,tangent=2,dont_know=1"
    texts = {}
    for seed in (1, 1, 2):
        texts.setdefault(seed, []).append([(await _ask(persona, i, a, 2, seed)) for i, a, _ in SAID])
    assert texts[1][0] == texts[1][1]
    assert texts[1][0] != texts[2][0]


@pytest.mark.parametrize(
    ("persona", "said"),
    [
        ("rude=2", "no trait 'rude'; there are terse"),
        ("terse=4", "terse=4: levels are 0 to 3"),
        ("terse=-1", "levels are 0 to 3"),
        ("terse=two", "levels are 0 to 3"),
        ("terse==2", "levels are 0 to 3"),
    ],
)
def test_a_wrong_persona_is_refused_in_words(persona, said):
    with pytest.raises(ValueError, match=said):
        simulator(persona=persona)


def test_a_persona_is_written_as_it_is_read():
    assert str(Traits.parse(" typos , terse=2,")) == "terse=2,typos=1"
    assert Traits.parse(str(Traits(vague=3, typos=1))) == Traits(vague=3, typos=1)
    assert Traits.parse("") == Traits()
    assert simulator(persona="terse=2").describe()["traits"] == "terse=2"
