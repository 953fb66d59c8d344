"""`pir eval simcheck`: whether a user simulator can be believed."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from evals.commands.parsing import assignments, data_files
from evals.runs import RunError
from evals.simulators import SIMULATORS, simulator
from pir_serve.commands.tables import put

if TYPE_CHECKING:
    from evals.rows import Row
    from evals.simulators.check import Fidelity


@click.command(
    epilog="""\b
Examples:
  pir eval simcheck                                        the rule user, on generated problems
  pir eval simcheck --persona terse=2,typos=1
  pir eval simcheck --tasks pir_mip_gsm8k --data mip_gsm8k.jsonl --rows 200
\b
A language model as the user, at any OpenAI-compatible endpoint
  pir eval simcheck --user llm --user-option model=llama-3.1-8b \\
      --user-option base_url=http://127.0.0.1:8001/v1 -o out/simcheck.json
"""
)
@click.option("--user", default="rule", show_default=True, help=f"One of {', '.join(SIMULATORS)}.")
@click.option("--persona", default="", help="How the user talks: terse=2,typos=1.")
@click.option("--user-seed", type=int, default=0, show_default=True)
@click.option("--user-option", "user_options", multiple=True, metavar="NAME=VALUE", help="Of the user simulator.")
@click.option("--tasks", default="pir_builtin", show_default=True, help="Whose problems it is asked about.")
@click.option("--data", multiple=True, metavar="[TASK=]FILE", help="A task's data from this file, instead of fetched.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="Of the tasks; see `pir eval tasks`.")
@click.option(
    "--rows", "count", type=click.IntRange(min=1), default=60, show_default=True, help="Incomplete rows of each task."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is asked.")
@click.option("--concurrency", type=click.IntRange(min=1), default=8, show_default=True, help="Rows in flight.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=120, show_default=True, help="Seconds.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write what was found as JSON.")
def simcheck(
    user: str,
    persona: str,
    user_seed: int,
    user_options: tuple[str, ...],
    tasks: str,
    data: tuple[str, ...],
    options: tuple[str, ...],
    count: int,
    seed: int,
    concurrency: int,
    timeout_s: float,
    output: Path | None,
) -> None:
    """Check a user simulator: leaks, solving, faithfulness, and more.

    It is asked for facts that it has, for things that nobody knows, and for the solution. Above the limits it is
    unreliable, figures made with it are not to be believed, and the exit code is 1.
    """
    from evals.simulators.check import check

    names = [name.strip() for name in tasks.split(",") if name.strip()]
    try:
        one = simulator(user, persona=persona, seed=user_seed, **assignments(user_options, "--user-option"))
        rows = _rows(names, assignments(options, "--option") | {"data": data_files(data)}, count)
    except (RunError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    fidelity = asyncio.run(check(one, rows, seed=seed, timeout_s=timeout_s, concurrency=concurrency))
    _print(fidelity)
    if output is not None:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(fidelity.to_json(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise click.FileError(str(output), error.strerror or str(error)) from error
    if not fidelity.is_reliable:
        sys.exit(1)


def _rows(names: list[str], metadata: dict[str, object], count: int) -> list[Row]:
    """Up to `count` incomplete rows of each task, from all over it."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from evals.catalog import load_tasks
    from evals.lm_tasks import row_of

    found = []
    for task in load_tasks(names, metadata)["tasks"].values():
        rows = [row for row in map(row_of, task.test_docs()) if not row.is_complete]
        if not rows:
            raise RunError(f"{task.config.task} hides nothing: there is no fact to ask its user for")
        found += [rows[place * len(rows) // count] for place in range(count)] if len(rows) > count else rows
    return found


def _print(fidelity: Fidelity) -> None:
    table = Table("check", "value", "limit", "replies", "what", box=None)
    for one in fidelity.checks:
        value = "not measured" if one.value is None else f"{one.value:.1%}"
        mark = " by design" if one.by_design else "" if one.passed else " FAILED"
        table.add_row(one.name, value + mark, f"{one.wants} {one.limit:.0%}", str(one.n), one.says)
    put(table)
    for one in fidelity.checks:
        if not one.passed:
            for example in one.examples:
                click.echo(f"  {one.name}: {example}")
    about = f"{', '.join(fidelity.tasks)}, {fidelity.rows} rows, {fidelity.replies} replies"
    if fidelity.tokens:
        about += f", {fidelity.tokens} tokens, {fidelity.retried} replies retried"
    click.echo(f"\n{fidelity.stamp or 'the simulator is reliable'} ({about})")
