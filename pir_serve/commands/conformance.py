"""`pir conformance`: does the gateway at a base URL keep the contract of docs/protocol.md?"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pir_serve.conformance import CHECKS, SURFACES, Outcome, Problem, Result, Setup, run_suite
from pir_serve.conformance import report as reports
from pir_serve.conformance.suite import NoGateway, find_model, find_problems, read_problem
from pir_serve.conformance.wire import Http


class _Numbers(click.ParamType[frozenset[int]]):
    """`101,301` or `3xx`, as check numbers."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        known = {check.number for check in CHECKS}
        chosen: set[int] = set()
        for word in str(value).replace(",", " ").split():
            found = {n for n in known if str(n) == word or (word[1:].lower() == "xx" and str(n)[0] == word[0])}
            if not found:
                self.fail(f"there is no check {word}; --list shows them", param, ctx)
            chosen |= found
        return frozenset(chosen)


@dataclass(frozen=True)
class _Options:
    """What was given on the command line."""

    base_url: str
    api_key: str | None
    other_api_key: str | None
    model: str | None
    surface: tuple[str, ...]
    stream: str
    question: str | None
    answer: str | None
    problems: Path | None
    tries: int
    max_wait: float
    timeout: float
    only: frozenset[int] | None
    json_file: Path | None


@click.command()
@click.option("--base-url", default="http://127.0.0.1:8000/v1", show_default=True, help="The gateway to examine.")
@click.option("--api-key", default=None, help="Its API key; OPENAI_API_KEY if not given.")
@click.option("--other-api-key", default=None, help="A second key, to see that tenants are kept apart.")
@click.option("--model", default=None, help="Model name; the gateway's first if not given.")
@click.option("--surface", multiple=True, type=click.Choice(list(SURFACES)), help="Repeatable; all if not given.")
@click.option("--stream", type=click.Choice(["both", "on", "off"]), default="both", show_default=True)
@click.option("--question", default=None, help="A problem that lacks a fact.")
@click.option("--answer", default=None, help="The fact.")
@click.option(
    "--problems",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='JSON lines {"question", "answer"}; /v1/pir/examples if neither is given.',
)
@click.option(
    "--tries", type=click.IntRange(1), default=5, show_default=True, help="Problems until one is asked about."
)
@click.option(
    "--max-wait", type=float, default=5.0, show_default=True, help="Seconds to wait for a question to expire."
)
@click.option("--timeout", type=float, default=120.0, show_default=True, help="Seconds a reply may take.")
@click.option("--only", type=_Numbers(), default=None, help="Checks by number: 101,301 or 3xx.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here.")
@click.option("--list", "list_checks", is_flag=True, help="Show the rules and leave.")
def conformance(list_checks: bool, **given: Any) -> None:
    """Check that a gateway pauses for its user and resumes as the protocol says.

    Plays conversations whose problems lack a fact, over every surface, streamed and not, and tries every way of
    answering. Exit code 1 if a rule is broken, or if nothing could be tested because the model never asked.

    \b
      pir conformance --base-url http://127.0.0.1:8000/v1 --json results.json
      pir conformance --only 3xx --question "How far is it?" --answer "From here to the moon."
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)  # of a file or a pipe: room for the table of all surfaces
    if list_checks:
        reports.print_checks(console, CHECKS)
        return
    given["api_key"] = given["api_key"] or os.environ.get("OPENAI_API_KEY")
    options = _Options(**given)
    if (options.question is None) != (options.answer is None):
        raise click.UsageError("--question and --answer go together")
    try:
        raise SystemExit(asyncio.run(_examine(options, console)))
    except NoGateway as error:
        raise click.ClickException(f"{options.base_url}: {error}") from None


async def _examine(options: _Options, console: Console) -> int:
    problems = _own_problems(options)
    http = Http(options.base_url, options.api_key, options.timeout)
    other = Http(options.base_url, options.other_api_key, options.timeout) if options.other_api_key else None
    try:
        model = options.model or await find_model(http)
        problems = problems or await find_problems(http)
        setup = Setup(model, problems, tries=options.tries, max_wait_s=options.max_wait)
        results = await _play(options, console, http, other, setup)
    finally:
        await http.aclose()
        if other is not None:
            await other.aclose()
    reports.print_table(console, results)
    reports.print_reasons(console, results)
    reports.print_summary(console, results)
    if options.json_file is not None:
        text = json.dumps(reports.to_json(options.base_url, model, results), indent=1)
        options.json_file.write_text(text + "\n")
    return 0 if _is_proven(results) else 1


def _is_proven(results: list[Result]) -> bool:
    """No rule is broken, and what needs a question (all below 500) was not merely skipped."""
    if not results or any(r.outcome is Outcome.FAILED for r in results):
        return False
    pausing = [r.outcome for r in results if r.check.number < 500]
    return not pausing or Outcome.PASSED in pausing


async def _play(options: _Options, console: Console, http: Http, other: Http | None, setup: Setup) -> list[Result]:
    streams = {"both": (False, True), "on": (True,), "off": (False,)}[options.stream]
    surfaces = [SURFACES[name] for name in options.surface or SURFACES]
    results: list[Result] = []
    with console.status("starting") as status:
        running = run_suite(http, setup, surfaces, streams=streams, only=options.only, other_http=other)
        async for result in running:
            results.append(result)
            status.update(f"{result.check.number} {result.check.title}: {result.outcome.value}")
    return results


def _own_problems(options: _Options) -> tuple[Problem, ...]:
    """Those of the command line; none if it names none."""
    if options.question is not None and options.answer is not None:
        return (Problem(options.question, options.answer),)
    if options.problems is None:
        return ()
    found = []
    for number, line in enumerate(options.problems.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            problem = read_problem(json.loads(line))
        except ValueError:
            problem = None
        if problem is None:
            raise click.UsageError(f"{options.problems}:{number} is no JSON object with a question and an answer")
        found.append(problem)
    if not found:
        raise click.UsageError(f"{options.problems} is empty")
    return tuple(found)
