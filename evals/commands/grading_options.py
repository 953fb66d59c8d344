"""The options of grading that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from evals.grading import GradingOptions
from evals.grading.math import MathGrader
from evals.runs import MANIFEST

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
    click.option(
        "--judge-url",
        "--judge",
        "judge_url",
        help="An OpenAI-compatible server, for rows that only a judge can grade, and for how helpful asks are.",
    ),
    click.option("--judge-model", help="Its model; not the one that was played, nor the user simulator's."),
    click.option("--judge-api-key", envvar="PIR_JUDGE_API_KEY", default="none", help="Or PIR_JUDGE_API_KEY."),
    click.option(
        "--judge-votes", type=click.IntRange(min=1), default=1, show_default=True, help="An odd number is never tied."
    ),
    click.option(
        "--judge-max-tokens",
        type=click.IntRange(min=1),
        default=4096,
        show_default=True,
        help="Of one vote, a reasoning judge's thoughts included.",
    ),
    click.option(
        "--judge-cache",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Keeps votes, so that none is paid twice; `run` and `report` keep them in the run's folder by themselves.",
    ),
)

GRADING = ("grader", "judge_url", "judge_model", "judge_api_key", "judge_votes", "judge_max_tokens", "judge_cache")
"""Their names, as parameters."""


def grading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, and hands them on as `options: GradingOptions`."""

    @wraps(command)
    def with_options(*args: Any, **given: Any) -> Any:
        grader, *judging = (given.pop(name) for name in GRADING)
        return command(*args, options=GradingOptions(math=grader, judge=judge_of(*judging)), **given)

    for option in reversed(_OPTIONS):
        with_options = option(with_options)
    return with_options


def kept_in(options: GradingOptions, run: Path) -> GradingOptions:
    """With the judge's votes kept in the run's folder, if nowhere else and if it can be written."""
    if options.judge is None or options.judge.cache is not None or not (run / MANIFEST).is_file():
        return options
    try:
        return replace(options, judge=replace(options.judge, cache=run / "votes.jsonl"))
    except OSError:
        return options


def judge_of(
    url: str | None, model: str | None, api_key: str, votes: int, max_tokens: int, cache: Path | None
) -> Judge | None:
    """Raises: click.UsageError: one of address and model is missing; click.FileError: the cache cannot be read."""
    from evals.grading.judge import Judge  # the SDK takes a while to import

    if url is None and model is None:
        return None
    if url is None or model is None:
        raise click.UsageError("a judge needs both --judge-url and --judge-model")
    try:
        return Judge(url, model, api_key, votes, cache, max_tokens=max_tokens)
    except (OSError, ValueError) as error:
        raise click.FileError(str(cache), str(error)) from error
