"""Two runs on the same rows: whether the second is better, and what this many rows could have shown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.metrics import Scored, sample_figures
from evals.rows import Condition
from evals.significance import McNemar, holm, mcnemar, minimum_detectable_effect
from evals.stats import Difference, Share, paired_bootstrap

PRIMARY = "accuracy/interactive"
SMOKE_ROWS = 100
"""Below as many rows a result is a sign of life, not a measurement: 95 % of 52 rows is +-14 points."""

_Key = tuple[str, Condition, int]


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """One task, on the conversations that both runs have."""

    task: str
    num_rows: int
    differences: Mapping[str, Difference]
    """By figure, second minus first; see `metrics.sample_figures`."""
    mcnemar: McNemar | None
    """Of right and wrong, where each row was played once; repeats of a row are not independent."""
    p: float
    """Of no difference in interactive accuracy: McNemar's where there is one, else the bootstrap's."""
    p_holm: float
    """Corrected for the number of tasks."""
    minimum_effect: float
    """The least difference in accuracy that these rows find four times in five; NaN where none could be."""
    only_in: tuple[int, int]
    """Conversations that only the first, only the second run has: left out."""

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "num_rows": self.num_rows,
            "smoke": self.num_rows < SMOKE_ROWS,
            "p": _finite(self.p),
            "p_holm": _finite(self.p_holm),
            "minimum_effect": _finite(self.minimum_effect),
            "mcnemar": {"only_first": self.mcnemar.only_first, "only_second": self.mcnemar.only_second}
            if self.mcnemar
            else None,
            "only_in": list(self.only_in),
            "differences": {
                name: {**found.estimate.to_json(), "p": _finite(found.p)} for name, found in self.differences.items()
            },
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def mismatches(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Why two runs' manifests forbid to compare them, in words; empty if nothing does.

    The graders cannot differ: both runs are graded when they are compared. What model was played and how it sampled
    may differ: that is what one compares.
    """
    found = []
    common = [task for task in first["tasks"] if task in second["tasks"]]
    if not common:
        found.append(f"they have no task in common: {', '.join(first['tasks'])} and {', '.join(second['tasks'])}")
    for task in common:
        a, b = first["tasks"][task], second["tasks"][task]
        if a.get("version") != b.get("version"):
            found.append(f"{task} has version {a.get('version')} in one and {b.get('version')} in the other")
        elif a["data_sha"] != b["data_sha"]:
            found.append(f"the rows of {task} differ ({a['num_rows']} and {b['num_rows']} rows)")
    names = {"user": "the user simulator", "max_turns": "the cap of asks", "play_version": "the way of playing"}
    for name, label in names.items():
        mine, theirs = first["identity"].get(name), second["identity"].get(name)
        if mine != theirs:
            found.append(f"{label} differs: {json.dumps(mine)} and {json.dumps(theirs)}")
    return found


def compare(first: Iterable[Scored], second: Iterable[Scored], *, seed: int = 0) -> list[TaskComparison]:
    """Each task that both runs have, in the order of the first."""
    mine, theirs = _by_task(first), _by_task(second)
    found = [_compare_task(task, mine[task], theirs[task], seed) for task in mine if task in theirs]
    adjusted = holm([each["p"] for each in found])
    return [TaskComparison(**each, p_holm=p) for each, p in zip(found, adjusted, strict=True)]


def _by_task(run: Iterable[Scored]) -> dict[str, dict[_Key, Scored]]:
    found: dict[str, dict[_Key, Scored]] = {}
    for one in run:
        found.setdefault(one.row.task, {})[one.row.row_id, one.condition, one.transcript.repeat] = one
    return found


def _compare_task(task: str, first: Mapping[_Key, Scored], second: Mapping[_Key, Scored], seed: int) -> dict[str, Any]:
    # The same name is not enough where a comparison was forced: the row must be the same.
    common = [key for key in first if key in second and first[key].row == second[key].row]
    pairs = [(first[key], second[key]) for key in common]
    differences = _differences(pairs, seed)
    judged = [(a, b) for a, b in pairs if a.condition == "interactive" and a.score is not None and b.score is not None]
    scores = {score for a, b in judged for score in (a.score, b.score)}
    once = len({a.row.row_id for a, _ in judged}) == len(judged) and scores <= {0.0, 1.0}
    test = mcnemar([a.score == 1 for a, _ in judged], [b.score == 1 for _, b in judged]) if once and judged else None
    primary = differences.get(PRIMARY)
    return {
        "task": task,
        "num_rows": len({key[0] for key in common}),
        "differences": differences,
        "mcnemar": test,
        "p": test.p if test else primary.p if primary else math.nan,
        "minimum_effect": minimum_detectable_effect(len(judged), _discordance(judged)),
        "only_in": (len(first) - len(common), len(second) - len(common)),
    }


def _differences(pairs: Sequence[tuple[Scored, Scored]], seed: int) -> dict[str, Difference]:
    columns: dict[str, tuple[list[float], list[float], list[str]]] = {}
    for a, b in pairs:
        mine, theirs = sample_figures(a), sample_figures(b)
        for name in mine.keys() & theirs.keys():
            column = columns.setdefault(name, ([], [], []))
            column[0].append(mine[name])
            column[1].append(theirs[name])
            column[2].append(a.row.pair_id)
    return {name: paired_bootstrap(*columns[name], seed=seed) for name in sorted(columns)}


def _discordance(judged: Sequence[tuple[Scored, Scored]]) -> float:
    """The share of rows on which the two differ, drawn in a little from nought: a few rows alike are no proof of likeness."""
    if not judged:
        return math.nan
    low, high = Share.of(a.score != b.score for a, b in judged).interval
    return (low + high) / 2
