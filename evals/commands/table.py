"""`pir eval table`: several runs, or the parts of one, a line each."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from evals.commands.grading_options import grading_options
from evals.grading import GradingOptions
from evals.report.overview import By, overview


@click.command(
    epilog="""\b
Examples:
  pir eval table out/runs/tiny --by family
  pir eval table out/runs/persona-*
"""
)
@click.argument("runs", type=click.Path(file_okay=False, path_type=Path), nargs=-1, required=True)
@click.option("--by", type=click.Choice(get_args(By)), default="run", show_default=True, help="What has a line.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@grading_options
def table(runs: tuple[Path, ...], by: By, seed: int, options: GradingOptions) -> None:
    """Print a Markdown table of runs: accuracy under each condition, recovered gap, asking.

    Intervals are of 95 %, clustered by problem. The lines need not be comparable: `pir eval compare` checks that, and
    tests differences.
    """
    from evals.graded import graded_run
    from evals.runs import RunError

    try:
        found = {run.name or str(run): graded_run(run, options)[1] for run in runs}
    except RunError as error:
        raise click.ClickException(str(error)) from error
    click.echo(overview(found, by, seed=seed), nl=False)
