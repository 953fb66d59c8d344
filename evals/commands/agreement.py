"""`pir eval agreement`: can this judge be believed?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from evals.commands.grading_options import grading_options
from evals.grading import GradingOptions


@click.command(
    epilog="""\b
Example:
  pir eval agreement labels.jsonl --judge-url http://127.0.0.1:8001/v1 --judge-model NAME --judge-votes 3
\b
A line of the file:
  {"question": "2 + 2?", "reference": "4", "answer": "It is four.", "label": true}
"""
)
@click.argument("labelled", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@grading_options
def agreement(labelled: Path, options: GradingOptions) -> None:
    """Compare a judge's verdicts with people's labels, a JSON line each.

    Prints the share on which they agree, Cohen's kappa (1: always, 0: as by chance) and the lines on which they differ.
    About fifty labels tell a good judge from a bad one.
    """
    from evals.grading.judge import agreement as agree
    from evals.stats import Share

    if options.judge is None:
        raise click.UsageError("name a judge with --judge-url and --judge-model")
    found = agree(options.judge, _cases(labelled))
    value = "undefined" if math.isnan(found.kappa) else f"{found.kappa:.2f}"
    click.echo(f"{options.judge.model}: agrees on {Share(found.agreed, found.n)} of {found.n}, kappa {value}")
    if found.unjudged:
        click.echo(f"{found.unjudged} were not judged")
    if found.disagreements:
        click.echo("differs on lines " + ", ".join(str(place + 1) for place in found.disagreements))
    if not found.n:
        raise click.ClickException("the judge gave no verdict")


def _cases(file: Path) -> list[dict[str, Any]]:
    cases = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            case = json.loads(line)
        except ValueError as error:
            raise click.ClickException(f"{file}, line {number} is no JSON") from error
        texts = ("question", "reference", "answer")
        if not (
            isinstance(case, dict)
            and all(isinstance(case.get(name), str) for name in texts)
            and isinstance(case.get("label"), bool)
        ):
            raise click.ClickException(
                f"{file}, line {number} needs texts {', '.join(texts)} and a label, true or false"
            )
        cases.append(case)
    return cases
