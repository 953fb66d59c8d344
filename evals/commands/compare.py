"""`pir eval compare`: is the second run better than the first?"""

from __future__ import annotations

import json
import math
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from evals.commands.grading_options import grader_option
from evals.compare import SMOKE_ROWS, TaskComparison
from evals.grading.math import MathGrader

_RUN = click.Path(file_okay=False, path_type=Path)
_SHARES = ("accuracy", "over_ask", "under_ask", "first_question", "fact_coverage", "errors", "truncated")


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
@grader_option
def compare(
    first: Path, second: Path, force: bool, show_all: bool, seed: int, json_file: Path | None, grader: MathGrader
) -> None:
    """Compare run SECOND with run FIRST, on the rows that both played.

    Differences are second minus first, with a paired bootstrap's 95 % interval. p is of no difference in interactive
    accuracy (McNemar's exact test; the bootstrap's where rows were repeated), and corrected for the number of tasks
    (Holm). The least effect is what this many rows would have found four times in five.
    """
    from evals.compare import compare as compare_runs
    from evals.compare import mismatches
    from evals.graded import graded_run
    from evals.grading import GradingOptions
    from evals.runs import RunError

    try:
        options = GradingOptions(math=grader)
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
    console = Console(width=None if Console().is_terminal else 120)
    for task in found:
        smoke = ", a smoke test only" if task.num_rows < SMOKE_ROWS else ""
        table = Table(
            "figure", "second - first", "95 % interval", "p", title=f"{task.task}: {task.num_rows} rows{smoke}"
        )
        for name, difference in task.differences.items():
            if show_all or name.startswith((*_SHARES, "turns", "tokens_policy")):
                table.add_row(
                    name,
                    *_cells(name, difference.estimate.value, difference.estimate.low, difference.estimate.high),
                    f"{difference.p:.4f}",
                )
        console.print(table, highlight=False)
        if task.mcnemar:
            console.print(
                f"  right only in the first: {task.mcnemar.only_first}, only in the second: {task.mcnemar.only_second}"
            )
        console.print(f"  interactive accuracy: p = {task.p:.4f}, {task.p_holm:.4f} corrected for {len(found)} tasks")
        least = "none" if math.isnan(task.minimum_effect) else f"{100 * task.minimum_effect:.1f} points"
        console.print(f"  least effect that this many rows would show (80 % power): {least}", highlight=False)
        if any(task.only_in):
            console.print(
                f"  left out: {task.only_in[0]} conversations only in the first, {task.only_in[1]} only in the second"
            )


def _cells(name: str, value: float, low: float, high: float) -> tuple[str, str]:
    if name.startswith(_SHARES):
        return f"{100 * value:+.1f} points", f"[{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{value:+.2f}", f"[{low:+.2f}, {high:+.2f}]"
