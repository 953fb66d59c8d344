"""`pir eval view`: read a run's conversations."""

from __future__ import annotations

from pathlib import Path

import click

from evals.commands.grading_options import grading_options
from evals.grading import GradingOptions

_RUN = click.Path(file_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  pir eval view out/runs/tiny                              writes out/runs/tiny/view.html
  pir eval view out/runs/base out/runs/tiny --open         two runs side by side, in the browser
"""
)
@click.argument("run", type=_RUN)
@click.argument("other", type=_RUN, required=False)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="RUN/view.html if not given.")
@click.option("--open", "open_it", is_flag=True, help="Open the page in the browser.")
@grading_options
def view(run: Path, other: Path | None, output: Path | None, open_it: bool, options: GradingOptions) -> None:
    """Write one HTML page with all conversations of RUN, or of two runs side by side.

    The page filters by what happened (asked or not, right or wrong, asked needlessly, failed to ask, errors) and needs
    no network; it can be sent by mail.
    """
    from evals.compare import mismatches
    from evals.graded import graded_run
    from evals.report.viewer import page
    from evals.runs import RunError

    folders = [run] if other is None else [run, other]
    try:
        found = [graded_run(folder, options) for folder in folders]
    except RunError as error:
        raise click.ClickException(str(error)) from error
    names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise click.UsageError("the two runs are the same folder")
    warnings = mismatches(found[0][0].manifest, found[1][0].manifest) if other else []
    file = output or run / "view.html"
    try:
        file.write_text(
            page(dict(zip(names, (scored for _, scored in found), strict=True)), warnings), encoding="utf-8"
        )
    except OSError as error:
        raise click.FileError(str(file), error.strerror or str(error)) from error
    click.echo(str(file))
    if open_it:
        click.launch(str(file.resolve()))
