"""Rows of `pir_builtin`: generated word problems, complete and with facts left out."""

from __future__ import annotations

from dataclasses import replace

from evals.lm_tasks import documents
from evals.problems import SPLITS, Split, generate
from evals.rows import Row
from evals.simulators.spans import facts_of

TASK = "pir_builtin"
HELD_OUT: tuple[Split, ...] = ("heldout_numbers", "heldout_templates", "heldout_families")


def rows(
    split: str = "+".join(HELD_OUT),
    family: str | None = None,
    pairs: int = 500,
    data_seed: int = 7,
    facts: str = "generated",
) -> list[Row]:
    """Pairs of a complete and an incomplete version, the splits taking turns.

    Args:
        split: one or several of the generator's splits, joined by `+`.
        family: only this one; None: all of the split's.
        pairs: in all.
        data_seed: of the generator.
        facts: what the user knows: `generated`, each in many wordings; or `spans`, what a word diff of the two texts finds,
            as for public data sets.

    Raises:
        ValueError: no such split, family or kind of facts.
    """
    if facts not in ("generated", "spans"):
        raise ValueError(f"no facts {facts}; there are generated, spans")
    splits = [known for name in str(split).replace(",", "+").split("+") for known in SPLITS if known == name]
    if len(splits) != len(str(split).replace(",", "+").split("+")):
        raise ValueError(f"no split {split}; there are {', '.join(SPLITS)}")
    found = []
    for number in range(int(pairs)):
        name = splits[number % len(splits)]
        pair = generate(name, 1, int(data_seed), mode="paired", family=family, start=number // len(splits))
        found += [Row.of(problem, TASK) for problem in pair]
    return [replace(row, facts=facts_of(row.full, row.shown)) for row in found] if facts == "spans" else found


load = documents(TASK, rows)
