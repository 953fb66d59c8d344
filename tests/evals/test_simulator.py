"""The rule user simulator: finds the fact, says it in its manner, and reports exactly what it said."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.problems import KINDS, Fact, Problem, generate, make_pair, question
from evals.problems.grammar import expansions
from evals.problems.numbers import WORDS
from evals.simulators import PERSONAS, Exchange, Intent, RuleSimulator, asked_facts

splits = st.sampled_from(("train", "heldout_templates", "heldout_families"))
indices = st.integers(0, 10**6)


def _askable(problem: Problem) -> list[Fact]:
    return [fact for fact in problem.facts if not KINDS[fact.kind].distractor]


def _incomplete(index: int, split: str = "train") -> tuple[Problem, Fact, str]:
    problem = make_pair(split, 5, index)[1]  # type: ignore[arg-type]
    fact = problem.hidden[0]
    return problem, fact, question(fact, Random(index))


def _accuracy(split: str, n: int, change=lambda ask, problem, rng: ask, *, hidden: bool = False) -> float:
    right = asked = 0
    for problem in generate(split, n, 12, mode="incomplete"):  # type: ignore[arg-type]
        rng = Random(problem.row_id)
        for fact in problem.hidden if hidden else _askable(problem):
            ask = change(question(fact, rng), problem, rng)
            right += [found.id for found in asked_facts(ask, Intent.of(problem))] == [fact.id]
            asked += 1
    return right / asked


@pytest.mark.parametrize("split", ["train", "heldout_families"])
def test_our_own_questions_find_their_fact(split):
    assert _accuracy(split, 250) >= 0.98


def _as_a_small_model_writes(ask: str, problem: Problem, rng: Random) -> str:
    changes = (
        lambda text: re.sub(r"\b(buy|own|get|pick up|make|prepare|collect|receive)\b", "have", text),
        lambda text: re.sub(r"\b(each|every|one|an|per)\b", "one", text),
        lambda text: text.lower(),
        lambda text: text.rstrip("?.") + ", please?",
        lambda text: re.sub(r"\bin (all|total)\b", "altogether", text),
        lambda text: text.replace("How many", "What is the number of"),
    )
    return changes[int(rng.random() * len(changes))](ask)


def test_slightly_wrong_wording_is_understood():
    assert _accuracy("train", 250, _as_a_small_model_writes, hidden=True) >= 0.96


def test_a_wrong_name_is_forgiven_where_only_one_fact_can_be_meant():
    def rename(ask: str, problem: Problem, rng: Random) -> str:
        return ask.replace(problem.facts[0].slots.get("who", "?"), "Bartholomew")

    assert _accuracy("train", 150, rename, hidden=True) >= 0.85


def test_two_people_are_told_apart_by_name():
    found = Counter()
    for problem in generate("train", 200, 8, mode="incomplete", family="wages"):
        if problem.goal not in ("pay_gap", "pay_together"):
            continue
        for fact in problem.facts:
            if fact.kind == "hourly_pay":
                ask = f"How much does {fact.slots['who']} earn?"
                found[[other.id for other in asked_facts(ask, Intent.of(problem))] == [fact.id]] += 1
    assert found[True] > 50
    assert not found[False]


@pytest.mark.parametrize(
    "ask",
    ["", "?", "What is the answer?", "Hello", "How are you today?", "Why?", "What colour is the sky?", "42", "🙂"],
)
def test_an_unclear_ask_discloses_nothing(ask):
    for index in range(20):
        problem, _, _ = _incomplete(index)
        response = RuleSimulator().respond(ask, intent=Intent.of(problem))
        assert response.kind == "unclear"
        assert response.disclosed == ()
        assert not re.search(r"\d", response.text)


def test_the_intent_has_no_answer():
    problem, _, _ = _incomplete(3)
    assert set(Intent.__dataclass_fields__) == {"row_id", "text", "facts", "shown"}
    assert not hasattr(Intent.of(problem), "gold")


@given(splits, indices, st.sampled_from(PERSONAS), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_only_reported_facts_are_disclosed(split, index, persona, seed):
    problem, _, ask = _incomplete(index, split)
    intent = Intent.of(problem)
    history: list[Exchange] = []
    simulator = RuleSimulator(persona, seed)
    for _ in range(3):
        response = simulator.respond(ask, intent=intent, history=history)
        history.append(Exchange(ask, response))
        told = [fact for fact in problem.facts if fact.id in response.disclosed]
        assert len(told) == len(response.disclosed)
        assert bool(told) <= (response.kind in ("answer", "off_topic"))
        if persona == "contradicts":
            continue  # names a wrong value on purpose
        allowed = {fact.value for fact in told}
        words = re.findall(r"\d+|[a-z]+(?:-[a-z]+)?", response.text.lower().replace("one hundred", "100"))
        said = {int(word) if word.isdigit() else WORDS.get(word, 0) for word in words} - {0, 1}
        assert said <= allowed, response
        if persona not in ("typos",) and not any(KINDS[fact.kind].reading for fact in told):
            assert allowed <= said, response


@given(indices, st.sampled_from(PERSONAS))
@settings(max_examples=100, deadline=None)
def test_the_same_seed_gives_the_same_response(index, persona):
    problem, _, ask = _incomplete(index)
    intent = Intent.of(problem)
    assert RuleSimulator(persona, 3).respond(ask, intent=intent) == RuleSimulator(persona, 3).respond(
        ask, intent=intent
    )


def test_seeds_and_repeated_asks_vary_the_wording():
    problem, _, ask = _incomplete(11)
    intent = Intent.of(problem)
    assert len({RuleSimulator("clean", seed).respond(ask, intent=intent).text for seed in range(40)}) >= 8


def _respond(persona, index, seed=0, times=1):
    problem, fact, ask = _incomplete(index)
    intent, history = Intent.of(problem), []
    for _ in range(times):
        response = RuleSimulator(persona, seed).respond(ask, intent=intent, history=history)
        history.append(Exchange(ask, response))
    return problem, fact, [exchange.response for exchange in history]


def test_clean_tells_the_fact():
    for index in range(60):
        _, fact, [response] = _respond("clean", index)
        assert response.disclosed == (fact.id,)


def test_terse_says_little_and_verbose_says_much():
    terse = [len(_respond("terse", index)[2][0].text.split()) for index in range(60)]
    verbose = [len(_respond("verbose", index)[2][0].text.split()) for index in range(60)]
    assert sum(terse) / 60 < 4
    assert sum(verbose) / 60 > 12


def test_typos_change_letters_and_never_digits():
    changed = 0
    for index in range(60):
        _, fact, [response] = _respond("typos", index)
        assert set(re.findall(r"\d+", response.text)) <= {str(fact.value)}
        changed += response.text.lower() not in {
            " ".join(text.format_map({**fact.slots, "v": fact.value}).split()).lower()
            for skeleton in KINDS[fact.kind].says.all
            for text in expansions(skeleton)
        }
    assert changed >= 50


def test_number_words_writes_no_digits_up_to_one_hundred():
    for index in range(60):
        _, fact, [response] = _respond("number_words", index)
        if fact.value <= 100:
            assert not re.search(r"\d", response.text), response.text


def test_dont_know_first_tells_when_asked_again():
    for index in range(40):
        _, fact, [first, second] = _respond("dont_know_first", index, times=2)
        assert (first.kind, first.disclosed) == ("dont_know", ())
        assert (second.kind, second.disclosed) == ("answer", (fact.id,))


def test_dont_know_first_does_not_know_another_fact_at_first():
    for index in range(200):
        problem = make_pair("train", 5, index)[1]
        if len(problem.hidden) < 2:
            continue
        asks = [question(fact, Random(index)) for fact in problem.hidden]
        simulator, intent = RuleSimulator("dont_know_first"), Intent.of(problem)
        first = simulator.respond(asks[0], intent=intent)
        second = simulator.respond(asks[1], intent=intent, history=[Exchange(asks[0], first)])
        assert second.kind == "dont_know"
        break


def test_never_knows():
    for index in range(20):
        for response in _respond("never_knows", index, times=3)[2]:
            assert (response.kind, response.disclosed) == ("dont_know", ())


def test_off_topic_tells_when_asked_again():
    kinds = Counter()
    for index in range(60):
        problem, fact, [first, second] = _respond("off_topic", index, times=2)
        assert first.kind == "off_topic"
        assert fact.id not in first.disclosed
        assert set(first.disclosed) <= {other.id for other in problem.facts if not other.hidden}
        assert second.disclosed == (fact.id,)
        kinds[len(first.disclosed)] += 1
    assert kinds[0] and kinds[1]


def test_two_facts_tells_one_more():
    for index in range(60):
        problem, fact, [response] = _respond("two_facts", index)
        assert response.disclosed[0] == fact.id
        assert len(response.disclosed) == 2
        if len(problem.hidden) == 2:
            assert set(response.disclosed) == {other.id for other in problem.hidden}


def test_contradicts_ends_with_the_right_value():
    for index in range(60):
        _, fact, [response] = _respond("contradicts", index)
        numbers = re.findall(r"\d+", response.text)
        if numbers:
            assert int(numbers[-1]) == fact.value != int(numbers[0])
            assert len(numbers) == 2
        else:
            assert response.text.rstrip(".").endswith(fact.unit)


def test_new_phrasing_shares_no_statement_with_clean():
    for index in range(80):
        _, fact, [response] = _respond("new_phrasing", index)
        for skeleton in KINDS[fact.kind].says.train:
            for text in expansions(skeleton):
                said = " ".join(text.format_map({**fact.slots, "v": fact.value}).split())
                assert said not in re.split(r"(?<=\.) ", response.text)


def test_a_visible_fact_can_be_asked_for():
    for index in range(60):
        problem, _, _ = _incomplete(index)
        for fact in _askable(problem):
            if not fact.hidden:
                response = RuleSimulator().respond(question(fact, Random(index)), intent=Intent.of(problem))
                assert response.disclosed in ((fact.id,), ()), (problem.shown, fact.phrase)


def test_two_questions_in_one_ask_get_two_answers():
    both = 0
    for index in range(150):
        problem = make_pair("train", 6, index)[1]
        if len(problem.hidden) == 2 and not any(KINDS[fact.kind].reading for fact in problem.hidden):
            ask = " ".join(question(fact, Random(index)) for fact in problem.hidden)
            response = RuleSimulator().respond(ask, intent=Intent.of(problem))
            both += set(response.disclosed) == {fact.id for fact in problem.hidden}
    assert both > 8


def test_an_unknown_persona_is_refused_in_words():
    with pytest.raises(ValueError, match="no persona 'rude'"):
        RuleSimulator("rude")  # type: ignore[arg-type]
