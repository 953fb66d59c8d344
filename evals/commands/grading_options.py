"""The options of grading that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from evals.grading import GradingOptions
from evals.grading.math import MathGrader

if TYPE_CHECKING:
    from evals.grading.judge import Judge

_OPTIONS = (
    click.option(
        "--grader",
        type=click.Choice(get_args(MathGrader)),
        default="math-verify",
        show_default=True,
        help="Of mathematics. official: as the published evaluation; both: and show where they disagree.",
    ),
    click.option("--judge-url", help="An OpenAI-compatible server, for rows that only a judge can grade."),
    click.option("--judge-model", help="Its model; not the one that was played, nor the user simulator's."),
    click.option("--judge-api-key", envvar="PIR_JUDGE_API_KEY", default="none", help="Or PIR_JUDGE_API_KEY."),
    click.option(
        "--judge-votes", type=click.IntRange(min=1), default=1, show_default=True, help="An odd number is never tied."
    ),
    click.option(
        "--judge-cache",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Keeps votes, so that none is paid twice.",
    ),
)


def grading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, and hands them on as `options: GradingOptions`."""

    @wraps(command)
    def with_options(*, grader: MathGrader, **given: Any) -> Any:
        names = ("judge_url", "judge_model", "judge_api_key", "judge_votes", "judge_cache")
        judge = judge_of(*(given.pop(name) for name in names))
        return command(options=GradingOptions(math=grader, judge=judge), **given)

    for option in reversed(_OPTIONS):
        with_options = option(with_options)
    return with_options


def judge_of(url: str | None, model: str | None, api_key: str, votes: int, cache: Path | None) -> Judge | None:
    """Raises: click.UsageError: one of address and model is missing; click.FileError: the cache cannot be read."""
    from evals.grading.judge import Judge  # the SDK takes a while to import

    if url is None and model is None:
        return None
    if url is None or model is None:
        raise click.UsageError("a judge needs both --judge-url and --judge-model")
    try:
        return Judge(url, model, api_key, votes, cache)
    except (OSError, ValueError) as error:
        raise click.FileError(str(cache), str(error)) from error
