"""Several runs, or the parts of one, as one Markdown table: a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from evals.metrics import Scored, breakdown, figures
from evals.report.labels import shown
from evals.stats import Estimate

By = Literal["run", "task", "split", "family"]

_COLUMNS = {
    "accuracy_incomplete/no_ask": "asking off",
    "accuracy_incomplete/interactive": "asking",
    "accuracy_incomplete/full": "nothing missing, asking off",
    "recovered_gap": "recovered gap",
    "accuracy_complete/interactive": "complete rows, asking",
    "ask_recall": "asked where something was missing",
    "over_ask": "asked where nothing was",
    "fact_coverage": "missing facts drawn out",
    "turns": "asks a conversation",
    "errors/interactive": "errors",
}
_SELDOM = ("errors/interactive",)
"""Shown only where there are any."""

_PARTS = {
    "task": lambda one: one.row.task,
    "split": lambda one: one.row.split,
    "family": lambda one: one.row.group,
}


def overview(runs: Mapping[str, Sequence[Scored]], by: By = "run", *, seed: int = 0) -> str:
    """A line for each run, or for each part of each run; columns that none of them has are left out."""
    lines: dict[str, tuple[int, Mapping[str, Estimate]]] = {}
    for name, scored in runs.items():
        parts: Mapping[str, Mapping[str, Estimate]]
        parts = {"": figures(scored, seed=seed)} if by == "run" else breakdown(scored, _PARTS[by], seed=seed)
        for part, found in parts.items():
            of_part = scored if by == "run" else [one for one in scored if _PARTS[by](one) == part]
            title = " ".join(filter(None, (name if len(runs) > 1 or by == "run" else "", part)))
            lines[title] = (len({one.row.pair_id for one in of_part}), found)
    heads = [figure for figure in _COLUMNS if any(_says(figure, found) for _, found in lines.values())]
    rows = [
        f"| {' | '.join((by, 'problems', *(_COLUMNS[figure] for figure in heads)))} |",
        "|---" * (len(heads) + 2) + "|",
    ]
    for title, (problems, found) in lines.items():
        cells = (shown(figure, found[figure]) if figure in found else "" for figure in heads)
        rows.append(f"| {' | '.join((title, str(problems), *cells))} |")
    return "\n".join(rows) + "\n"


def _says(figure: str, found: Mapping[str, Estimate]) -> bool:
    return figure in found and not (figure in _SELDOM and found[figure].value == 0)
