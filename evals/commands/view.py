"""`pir eval view`: read a run's conversations, in the web app or in one HTML file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from evals.commands.grading_options import GRADING, grading_options
from evals.grading import GradingOptions
from pir_serve.cli import cli

_RUN = click.Path(file_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  pir eval view out/runs/tiny                              in the web app, in the browser
  pir eval view out/runs/base out/runs/tiny                two runs side by side
  pir eval view out/runs/tiny --html out/tiny.html         one file, to send by mail
"""
)
@click.argument("run", type=_RUN)
@click.argument("other", type=_RUN, required=False)
@click.option(
    "--html",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write one page that needs neither web app nor network to this file instead.",
)
@click.option("--base-url", help="Of a gateway, for the other tabs of the web app; as `pir ui` has it if not given.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the web app; a free one if not given.")
@click.option(
    "--browser/--no-browser", "opens", default=True, help="Whether to open the browser; its address is printed."
)
@grading_options
@click.pass_context
def view(
    context: click.Context,
    run: Path,
    other: Path | None,
    file: Path | None,
    base_url: str | None,
    port: int | None,
    opens: bool,
    options: GradingOptions,
) -> None:
    """Read all conversations of RUN, or of two runs side by side.

    They are shown by the web app (`pir ui`), with no gateway needed, and filtered by what happened: asked or not, right
    or wrong, asked needlessly, failed to ask, errors. Ctrl-C ends it.
    """
    folders = [run] if other is None else [run, other]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise click.UsageError("the two runs are the same folder")
    if file is not None:
        _write(file, folders, options)
        return
    web_app = cli.get_command(context, "ui")
    if web_app is None:
        raise click.ClickException("the web app lives in the repository: clone it and run make setup-ui, or use --html")
    arguments = [f"--run={folder}" for folder in folders] + list(_grading(context))
    arguments += [f"--base-url={base_url}"] if base_url else []
    arguments += [f"--port={port}"] if port else []
    arguments += ["--show=runs", *(["--open"] if opens else [])]
    web_app.main(arguments, prog_name="pir ui", standalone_mode=False)


def _grading(context: click.Context) -> Iterator[str]:
    """The options of grading as they were given, for another command that takes them."""
    for name in GRADING:
        if (value := context.params[name]) is not None:
            yield f"--{name.replace('_', '-')}={value}"


def _write(file: Path, folders: list[Path], options: GradingOptions) -> None:
    from evals.compare import mismatches
    from evals.graded import graded_run
    from evals.report.viewer import page
    from evals.runs import RunError

    try:
        found = {str(folder): graded_run(folder, options) for folder in folders}
    except RunError as error:
        raise click.ClickException(str(error)) from error
    manifests = [run.manifest for run, _ in found.values()]
    text = page({name: scored for name, (_, scored) in found.items()}, mismatches(*manifests) if manifests[1:] else [])
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.FileError(str(file), error.strerror or str(error)) from error
    click.echo(str(file))
