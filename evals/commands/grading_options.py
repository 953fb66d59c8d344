"""The options of grading that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import click

from evals.grading.math import MathGrader


def grader_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--grader`, handed on as `grader`."""
    return click.option(
        "--grader",
        type=click.Choice(get_args(MathGrader)),
        default="math-verify",
        show_default=True,
        help="Of mathematics. official: as the published evaluation; both: and show where they disagree.",
    )(command)
