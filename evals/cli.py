"""`pir problems`: look at generated problems, or write them to a file. `pir eval`: the group of what evaluates."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

import click

from evals.commands import COMMANDS
from evals.problems import FAMILIES, SPLITS, Mode, Problem, Split, families_of, generate


@click.command(
    epilog="""\b
Examples:
  pir problems --n 3                             read three incomplete problems
  pir problems --complete --family travel        complete ones about travel
  pir problems --n 1000 --paired --split heldout_numbers --json --output test.jsonl
\b
The file then loads with
  datasets.load_dataset("json", data_files="test.jsonl")
"""
)
@click.option("--n", "count", type=click.IntRange(min=0), default=20, show_default=True, help="Problems, or pairs.")
@click.option("--incomplete", "mode", flag_value="incomplete", help="One or two facts are missing (the default).")
@click.option("--complete", "mode", flag_value="complete", help="Nothing is missing.")
@click.option("--paired", "mode", flag_value="paired", help="Each problem twice: complete, then incomplete.")
@click.option("--split", type=click.Choice(SPLITS), default="train", show_default=True, help="Which part of the data.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same problems.")
@click.option("--family", type=click.Choice(FAMILIES), help="Only this family.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a readable listing.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of the terminal."
)
def problems(
    count: int, mode: Mode | None, split: Split, seed: int, family: str | None, as_json: bool, output: Path | None
) -> None:
    """Print generated word problems.

    An incomplete problem lacks a fact that its answer needs: a sentence is left out or made vague, or a number can be
    read in two ways. A model has to ask for it. Problems of the held-out splits never occur in training: their
    numbers, their sentences or their whole family are new.
    """
    if family is not None and family not in families_of(split):
        raise click.UsageError(f"split {split} has no family {family}; it has {', '.join(families_of(split))}")
    rows = generate(split, count, seed, mode=mode or "incomplete", family=family)
    with ExitStack() as stack:
        stream: TextIO = sys.stdout
        if output is not None:
            try:
                stream = stack.enter_context(output.open("w", encoding="utf-8"))
            except OSError as error:
                raise click.FileError(str(output), error.strerror or str(error)) from error
        for text in _json_lines(rows) if as_json else _listing(rows):
            click.echo(text, file=stream)


def _json_lines(rows: Iterator[Problem]) -> Iterator[str]:
    for problem in rows:
        yield json.dumps(problem.to_json(), ensure_ascii=False)


def _listing(rows: Iterator[Problem]) -> Iterator[str]:
    for problem in rows:
        yield f"{problem.row_id}  ({problem.family}, {problem.goal})"
        yield f"  {problem.shown}"
        for fact in problem.hidden:
            yield f"  hidden ({fact.visibility}): {fact.text}"
        for step in problem.steps:
            yield f"    {step.text}"
        yield f"  answer: {problem.gold}"
        yield ""


class _Commands(click.Group):
    """Imports a subcommand only when it is run: help must not load lm-eval."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if find_spec(_module(name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(import_module(_module(cmd_name)), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


def _module(command: str) -> str:
    return f"evals.commands.{command.replace('-', '_')}"


@click.group(name="eval", cls=_Commands)
def evaluation() -> None:
    """Measure how well a model asks.

    \b
    Each problem is played under three conditions, on the same rows:
      interactive   facts are missing, and a simulated user answers what the model asks
      no_ask        facts are missing, and the model may not ask: the floor
      full          nothing is missing: the ceiling
    The recovered gap says how much of the way from floor to ceiling asking goes.

    \b
    Try it, in two terminals:
      pir serve
      pir eval run --tasks pir_builtin --limit 200 -o out/runs/first
    """
