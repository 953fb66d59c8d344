"""Problems by split, seed and index: the same three always give the same problem, whatever `n`."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from random import Random
from typing import Literal

from evals.problems import families as _families  # registers the goals
from evals.problems import premises as _premises  # registers the kinds of premise
from evals.problems.builder import GOALS, Builder, Reject
from evals.problems.families import HELDOUT_FAMILIES
from evals.problems.model import SPLITS, Problem, Split, Visibility
from evals.problems.render import compose, draft, facts_of, hide, is_answerable, needed_ids, steps_of

__all__ = ["FAMILIES", "HELDOUT_FAMILIES", "TRAIN_FAMILIES", "VERSION", "Mode", "families_of", "generate", "make_pair"]

Mode = Literal["complete", "incomplete", "paired"]

FAMILIES = tuple(sorted(GOALS))
TRAIN_FAMILIES = tuple(family for family in FAMILIES if family not in HELDOUT_FAMILIES)

VERSION = 2
"""Raise it when any text changes: a checkpoint and its scores belong to the version that made its data."""

HELDOUT_PERCENT = 12
"""Share of the number tuples of each goal that training never sees."""
VALIDATION_PERCENT = 8

assert _families and _premises


def families_of(split: Split) -> tuple[str, ...]:
    return HELDOUT_FAMILIES if split == "heldout_families" else TRAIN_FAMILIES


def number_bucket(key: str) -> Split:
    """Which split owns a tuple of numbers (`key` names the goal and its values)."""
    place = int.from_bytes(blake2b(key.encode(), digest_size=4).digest()) % 100
    if place < HELDOUT_PERCENT:
        return "heldout_numbers"
    return "validation" if place < HELDOUT_PERCENT + VALIDATION_PERCENT else "train"


def number_key(family: str, goal: str, plan: Builder) -> str:
    needed = needed_ids(plan)
    values = [f"{fact.value}{fact.kind.unit if fact.kind.reading else ''}" for fact in plan.facts if fact.id in needed]
    return f"{family}/{goal}:{','.join(values)}"


_BUCKET_OF: dict[Split, Split | None] = {
    "train": "train",
    "validation": "validation",
    "heldout_numbers": "heldout_numbers",
    "heldout_templates": "heldout_numbers",  # new numbers too: against heldout_numbers only the wording differs
    "heldout_families": None,
}


def _rng(*parts: object) -> Random:
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest))


def _plan(split: Split, family: str | None, rng: Random) -> tuple[str, str, Builder]:
    """Sample until the numbers are good and belong to the split."""
    families = families_of(split)
    chosen = family or families[int(rng.random() * len(families))]
    bucket = _BUCKET_OF[split]
    while True:
        names = tuple(GOALS[chosen])
        goal = names[int(rng.random() * len(names))]
        for _ in range(200):
            plan = Builder(rng)
            try:
                GOALS[chosen][goal](plan)
            except Reject:
                continue
            if bucket is None or number_bucket(number_key(chosen, goal, plan)) == bucket:
                return chosen, goal, plan


def make_pair(split: Split, seed: int, index: int, family: str | None = None) -> tuple[Problem, Problem]:
    """The complete and the incomplete version of one problem.

    Raises:
        ValueError: no such split, or the family is not one of the split's.
    """
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    if family is not None and family not in families_of(split):
        raise ValueError(f"split {split!r} has no family {family!r}; it has {', '.join(families_of(split))}")
    held_out = split == "heldout_templates"
    name, goal, plan = _plan(split, family, _rng("problem", split, seed, index, family or ""))
    steps = steps_of(plan)
    lines = "\n".join(step.text for step in steps)
    while True:
        wording = draft(plan, name, held_out=held_out)
        full = compose(wording, {})
        if is_answerable(wording, lines, full):
            break
    rng = _rng("hide", split, seed, index, family or "")
    while True:
        hidden = hide(wording, rng, held_out=held_out)
        shown = compose(wording, hidden)
        if is_answerable(wording, lines, shown):
            break
    pair_id = f"{split}-{seed}-{index}" + (f"-{family}" if family else "")

    def version(suffix: str, shown: str, gone: dict[str, tuple[Visibility, str]]) -> Problem:
        facts = facts_of(wording, gone)
        gold = str(plan.steps[-1].value)
        return Problem(f"{pair_id}-{suffix}", pair_id, name, goal, split, shown, full, facts, steps, gold)

    return version("complete", full, {}), version("incomplete", shown, hidden)


def generate(
    split: Split,
    n: int,
    seed: int = 0,
    *,
    mode: Mode = "complete",
    family: str | None = None,
    start: int = 0,
) -> Iterator[Problem]:
    """`n` problems, or `n` pairs (complete, then incomplete) if `mode` is "paired"; `start` is the first index."""
    for index in range(start, start + n):
        complete, incomplete = make_pair(split, seed, index, family)
        if mode != "incomplete":
            yield complete
        if mode != "complete":
            yield incomplete
