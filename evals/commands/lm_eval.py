"""`pir eval lm-eval`: lm-eval's own command line, knowing our model and our tasks by name."""

from __future__ import annotations

import sys

import click


@click.command(
    "lm-eval",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lm_eval(arguments: tuple[str, ...]) -> None:
    """lm-eval's own command line, with all its options, knowing the model `pir` and our tasks by name."""
    from lm_eval.__main__ import cli_evaluate

    from evals.catalog import TASKS
    from evals.lm_tasks import register_model
    from evals.runs import RunError

    register_model()
    given = list(arguments)
    runs = not given or given[0] == "run" or given[0].startswith("-")
    if runs and "--include_path" not in given and not {"-h", "--help"} & set(given):
        given += ["--include_path", str(TASKS)]
    sys.argv = ["lm-eval", *given]
    try:
        cli_evaluate()
    except RunError as error:
        raise click.ClickException(str(error)) from error
