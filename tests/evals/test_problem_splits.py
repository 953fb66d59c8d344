"""What a split holds back never occurs in training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from evals.problems import HELDOUT_FAMILIES, KINDS, Problem, generate, make_pair
from evals.problems.builder import GOALS, Builder, Reject
from evals.problems.grammar import Skeletons, compile_skeleton, expansions, skeletons
from evals.problems.render import _NAMING_QUESTIONS

seeds = st.integers(0, 2**40)
indices = st.integers(0, 10**9)


def _numbers(problem: Problem) -> tuple[object, ...]:
    """The goal and its numbers in the order of the plan, with the readings among them."""
    needed = sorted((fact for fact in problem.facts if fact.needed), key=lambda fact: int(fact.id[1:]))
    values = tuple((fact.value, fact.unit if KINDS[fact.kind].reading else "") for fact in needed)
    return problem.family, problem.goal, values


def _pattern(skeleton: str) -> str:
    """A regular expression of everything a skeleton can say, slots as wildcards."""

    def walk(tree) -> str:
        parts = []
        for part in tree:
            if isinstance(part, str):
                parts.append(re.escape(part))
            elif hasattr(part, "options"):
                parts.append("(?:" + "|".join(walk(option) for option in part.options) + ")")
            else:
                parts.append(".+")
        return "".join(parts)

    return walk(compile_skeleton(skeleton)).replace(r"\ ", " *").strip()


def _fits(text: str, options: tuple[str, ...]) -> bool:
    return any(re.fullmatch(_pattern(option), text, re.IGNORECASE) for option in options)


def test_number_tuples_of_train_validation_and_held_out_are_disjoint():
    seen = {
        split: {_numbers(problem) for problem in generate(split, 800, seed)}
        for split, seed in (("train", 0), ("validation", 1), ("heldout_numbers", 2), ("heldout_templates", 3))
    }
    assert not seen["train"] & (seen["validation"] | seen["heldout_numbers"] | seen["heldout_templates"])
    assert not seen["validation"] & (seen["heldout_numbers"] | seen["heldout_templates"])


@given(st.sampled_from(("train", "validation", "heldout_numbers", "heldout_families")), seeds, indices)
@settings(max_examples=100, deadline=None)
def test_only_the_template_split_uses_reserved_sentences(split, seed, index):
    problem, _ = make_pair(split, seed, index)
    for fact in problem.facts:
        assert _fits(fact.text, KINDS[fact.kind].says.train), fact.text


@given(seeds, indices)
@settings(max_examples=100, deadline=None)
def test_the_template_split_uses_nothing_else(seed, index):
    problem, _ = make_pair("heldout_templates", seed, index)
    for fact in problem.facts:
        assert _fits(fact.text, KINDS[fact.kind].says.reserved), fact.text


def test_a_fifth_to_a_quarter_of_each_list_is_reserved():
    lists: list[Skeletons] = [kind.says for kind in KINDS.values()]
    lists += [kind.vague for kind in KINDS.values() if not kind.distractor]
    lists.append(skeletons(_NAMING_QUESTIONS))
    for options in lists:
        assert not set(options.train) & set(options.reserved)
        assert 0.15 <= len(options.reserved) / len(options.all) <= 0.25, options.all


def _question_lists() -> Iterator[Skeletons]:
    rng = Random(0)
    for family, goals in GOALS.items():
        if family in HELDOUT_FAMILIES:
            continue
        for goal in goals.values():
            while True:
                plan = Builder(rng)
                try:
                    goal(plan)
                except Reject:
                    continue
                yield skeletons(plan.questions)
                break
    yield skeletons(_NAMING_QUESTIONS)


def test_words_of_reserved_sentences_occur_in_train():
    def words(options: Iterable[str]) -> set[str]:
        return {word for text in options for word in re.findall(r"[a-z]+", re.sub(r"\{[^}]*\}", " ", text.lower()))}

    lists = [*(kind.says for kind in KINDS.values()), *(kind.vague for kind in KINDS.values()), *_question_lists()]
    known = words(text for options in lists for text in options.train)
    assert not words(text for options in lists for text in options.reserved) - known


def test_every_question_has_ten_surfaces_or_more():
    for options in _question_lists():
        naming = sum(1 for skeleton in skeletons(_NAMING_QUESTIONS).all for _ in expansions(skeleton))
        assert naming + sum(1 for skeleton in options.all for _ in expansions(skeleton)) >= 10
        assert len(options.reserved) >= 1


def test_held_out_families_never_occur_in_training():
    train = {problem.family for problem in generate("train", 500, 0)}
    held_out = {problem.family for problem in generate("heldout_families", 100, 0)}
    assert len(train) >= 11
    assert len(held_out) == 3
    assert not train & held_out
