"""`pir eval report`: a run's figures for people and programs."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands.grading_options import grading_options, kept_in
from evals.commands.price_options import price_options
from evals.costs import Prices
from evals.grading import GradingOptions


@click.command(
    epilog="""\b
Examples:
  pir eval report out/runs/tiny                       into out/runs/tiny/report
  pir eval report out/runs/tiny --grader both         and where the official grader disagrees
  pir eval report out/runs/tiny --judge-url http://127.0.0.1:8001/v1 --judge-model NAME    how helpful asks are
  pir eval report out/runs/tiny --price-in 0.15 --price-out 0.6                            and what it cost
"""
)
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder; RUN/report if not given."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
@price_options
@grading_options
def report(run: Path, output: Path | None, seed: int, prices: Prices, options: GradingOptions) -> None:
    """Write report.md, report.csv, results.json (as lm-eval's) and plots of a run.

    Every conversation is graded anew. A run that was interrupted can be reported on, too.
    """
    from evals.graded import graded_run, with_helpfulness
    from evals.report import write_report
    from evals.runs import RunError

    try:
        options = kept_in(options, run)
        found, scored = graded_run(run, options)
    except RunError as error:
        raise click.ClickException(str(error)) from error
    if not scored:
        raise click.ClickException(f"{run} has no conversations yet; `pir eval run -o {run}` plays them")
    try:
        judged = with_helpfulness(scored, options.judge)
        files = write_report(found, judged, output or run / "report", prices=prices, seed=seed)
    except OSError as error:
        raise click.ClickException(f"the report cannot be written: {error}") from error
    for file in files:
        click.echo(str(file))
