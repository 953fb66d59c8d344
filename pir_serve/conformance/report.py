"""What a run found: a table, then every failure with the rule it breaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pir_serve import __version__
from pir_serve.conformance.checks import Check
from pir_serve.conformance.suite import Outcome, Result

_STYLE = {Outcome.PASSED: "green", Outcome.FAILED: "bold red", Outcome.SKIPPED: "yellow"}


def column(result: Result) -> str:
    return f"{result.surface}, {'streamed' if result.stream else 'whole'}"


def print_table(console: Console, results: Sequence[Result]) -> None:
    """One row a check, one column a surface; where whole and streamed replies differ, both in this order."""
    surfaces = list(dict.fromkeys(r.surface for r in results))
    table = Table("", "check", *surfaces, title="Pause conformance", title_justify="left", box=None)
    by_check: dict[int, list[Result]] = {}
    for result in results:
        by_check.setdefault(result.check.number, []).append(result)
    for number, row in by_check.items():
        cells = [_cell([r for r in row if r.surface == surface]) for surface in surfaces]
        table.add_row(str(number), row[0].check.title, *cells)
    console.print(table)


def _cell(results: Sequence[Result]) -> Text:
    found = list(dict.fromkeys(r.outcome for r in sorted(results, key=lambda r: r.stream)))
    if not found:
        return Text("-", "dim")
    return Text(", ").join([Text(outcome.value, _STYLE[outcome]) for outcome in found])


def print_reasons(console: Console, results: Sequence[Result]) -> None:
    """Why something was skipped, in a line; why something failed, with the rule."""
    skipped: dict[tuple[int, str], list[str]] = {}
    for result in results:
        if result.outcome is Outcome.SKIPPED:
            skipped.setdefault((result.check.number, result.detail), []).append(column(result))
    for (number, detail), _ in skipped.items():
        console.print(Text(f"{number} skipped: {detail}", "yellow"))
    for result in results:
        if result.outcome is Outcome.FAILED:
            console.print(Text(f"\n{result.check.number} {result.check.title} ({column(result)})", "bold red"))
            console.print(Text(f"    rule:  {result.check.rule}"))
            console.print(Text(f"    found: {result.detail}"))


def print_summary(console: Console, results: Sequence[Result]) -> None:
    counts = Counter(r.outcome for r in results)
    seconds = sum(r.duration_s for r in results)
    requests = sum(r.requests for r in results)
    parts = ", ".join(f"{counts[o]} {o.value}" for o in Outcome)
    style = "bold red" if counts[Outcome.FAILED] else "bold green" if counts[Outcome.PASSED] else "bold yellow"
    console.print(Text(f"\n{parts}; {requests} requests, {seconds:.0f} s", style))


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """The rules, for `--list`."""
    for check in checks:
        where = {"both": "", "whole": " (whole replies)", "stream": " (streams)"}[check.mode]
        console.print(Text(f"{check.number} {check.title}{where}", "bold"))
        console.print(Text(f"    {check.rule}"))


def to_json(base_url: str, model: str, results: Sequence[Result]) -> dict[str, Any]:
    counts = Counter(r.outcome for r in results)
    return {
        "suite": "pir pause conformance",
        "version": __version__,
        "base_url": base_url,
        "model": model,
        "counts": {outcome.value: counts[outcome] for outcome in Outcome},
        "results": [result.to_json() for result in results],
    }
