"""Rows of `pir_builtin`: generated word problems, complete and with facts left out."""

from __future__ import annotations

from evals.lm_tasks import documents
from evals.problems import SPLITS, Split, generate
from evals.rows import Row

TASK = "pir_builtin"
HELD_OUT: tuple[Split, ...] = ("heldout_numbers", "heldout_templates", "heldout_families")


def rows(split: str = "+".join(HELD_OUT), family: str | None = None, pairs: int = 500, data_seed: int = 7) -> list[Row]:
    """Pairs of a complete and an incomplete version, the splits taking turns.

    Args:
        split: one or several of the generator's splits, joined by `+`.
        family: only this one; None: all of the split's.
        pairs: in all.
        data_seed: of the generator.

    Raises:
        ValueError: no such split or family.
    """
    splits = [known for name in str(split).replace(",", "+").split("+") for known in SPLITS if known == name]
    if len(splits) != len(str(split).replace(",", "+").split("+")):
        raise ValueError(f"no split {split}; there are {', '.join(SPLITS)}")
    found = []
    for number in range(int(pairs)):
        name = splits[number % len(splits)]
        pair = generate(name, 1, int(data_seed), mode="paired", family=family, start=number // len(splits))
        found += [Row.of(problem, TASK) for problem in pair]
    return found


load = documents(TASK, rows)
