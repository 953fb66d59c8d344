"""`pir eval compare`: is the second run better than the first?"""

from __future__ import annotations

import json
import math
from pathlib import Path

import click
from rich.table import Table

from evals.commands.grading_options import grading_options
from evals.compare import SMOKE_ROWS, TaskComparison
from evals.grading import GradingOptions
from evals.metrics import is_share
from evals.report.labels import label
from evals.stats import Estimate
from pir_serve.commands.tables import put

_RUN = click.Path(file_okay=False, path_type=Path)
_SHOWN = (
    "accuracy",
    "over_ask",
    "under_ask",
    "first_question",
    "fact_coverage",
    "errors",
    "truncated",
    "turns",
    "tokens_policy",
)


@click.command(
    epilog="""\b
Examples:
  pir eval compare out/runs/base out/runs/tiny
  pir eval compare out/runs/base out/runs/tiny --all          every figure
  pir eval compare out/runs/base out/runs/tiny --json out/compare.json
"""
)
@click.argument("first", type=_RUN)
@click.argument("second", type=_RUN)
@click.option(
    "--force", is_flag=True, help="Compare runs whose data, simulator or rules differ, on the rows they share."
)
@click.option("--all", "show_all", is_flag=True, help="Every figure, not only accuracy and asking.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write everything here.")
@grading_options
def compare(
    first: Path, second: Path, force: bool, show_all: bool, seed: int, json_file: Path | None, options: GradingOptions
) -> None:
    """Compare run SECOND with run FIRST, on the rows that both played.

    Differences are second minus first, with a paired bootstrap's 95 % interval. p is of no difference in interactive
    accuracy (McNemar's exact test; the bootstrap's where rows were repeated), and corrected for the number of tasks
    (Holm). The least effect is what this many rows would have found four times in five.
    """
    from evals.compare import compare as compare_runs
    from evals.compare import mismatches
    from evals.graded import graded_run
    from evals.runs import RunError

    try:
        (run, mine), (other, theirs) = (graded_run(folder, options) for folder in (first, second))
    except RunError as error:
        raise click.ClickException(str(error)) from error
    reasons = mismatches(run.manifest, other.manifest)
    if reasons and not force:
        raise click.ClickException(
            "these runs cannot be compared:\n  " + "\n  ".join(reasons) + "\n--force compares the rows they share"
        )
    for reason in reasons:
        click.echo(f"forced although {reason}", err=True)
    found = compare_runs(mine, theirs, seed=seed)
    _print(found, show_all)
    if json_file is not None:
        data = {"first": str(first), "second": str(second), "forced": reasons, "tasks": [t.to_json() for t in found]}
        try:
            json_file.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise click.FileError(str(json_file), error.strerror or str(error)) from error


def _print(found: list[TaskComparison], show_all: bool) -> None:
    for task in found:
        smoke = ", a smoke test only" if task.num_rows < SMOKE_ROWS else ""
        title = f"{task.task}: {task.num_rows} rows{smoke}"
        table = Table("figure", "second - first", "95 % interval", "p", title=title)
        shown = {name: d for name, d in task.differences.items() if show_all or (name.startswith(_SHOWN) and d.p < 1)}
        for name, difference in shown.items():
            table.add_row(label(name), *_cells(name, difference.estimate), f"{difference.p:.4f}")
        put(table if shown else f"{title}\n  no figure differs")
        if task.mcnemar:
            only = task.mcnemar
            click.echo(f"  right only in the first: {only.only_first}, only in the second: {only.only_second}")
        click.echo(f"  interactive accuracy: p = {task.p:.4f}; corrected for {len(found)} tasks: {task.p_holm:.4f}")
        least = task.minimum_effect
        effect = "none, they hardly differ" if math.isnan(least) else f"{100 * least:.1f} points"
        click.echo(f"  least effect that this many rows would show (80 % power): {effect}")
        if any(task.only_in):
            first, second = task.only_in
            click.echo(f"  left out: {first} conversations only in the first, {second} only in the second")


def _cells(name: str, found: Estimate) -> tuple[str, str]:
    scale, unit, digits = (100, " points", 1) if is_share(name) else (1, "", 2)
    low, high = scale * found.low, scale * found.high
    return f"{scale * found.value:+.{digits}f}{unit}", f"[{low:+.{digits}f}, {high:+.{digits}f}]"
