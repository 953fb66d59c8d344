"""What a run prints when it ends, and its results in lm-eval's shape."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import click
from rich.table import Table

from evals.costs import PARTIES, Prices, bills, total_cost
from evals.graded import graded, with_helpfulness
from evals.grading import GradingOptions
from evals.metrics import Scored, figures
from evals.report.labels import money, shown
from evals.rows import CONDITIONS, Row, Transcript
from evals.stats import Estimate
from pir_serve.commands.tables import put

_SHARES = {
    "recovered_gap": "recovered gap",
    "gain_over_no_ask": "gain over no_ask",
    "ask_precision": "ask precision",
    "ask_recall": "ask recall",
    "ask_f1": "ask F1",
    "over_ask": "asks although complete",
    "under_ask": "does not ask although incomplete",
    "first_question_precision": "first question is for a missing fact",
    "fact_coverage": "missing facts found out",
    "helpfulness": "helpfulness of asks, by the judge",
}
_COUNTS = {"turns": "asks, all", "turns_when_asked": "asks, where it asked"}


def print_summary(
    rows: Sequence[Row], transcripts: Sequence[Transcript], prices: Prices, options: GradingOptions | None = None
) -> None:
    """A table for each task, to stdout; with a judge, what it finds of answers and asks."""
    judge = options.judge if options else None
    scored = with_helpfulness(graded(rows, transcripts, options), judge)
    for task in dict.fromkeys(row.task for row in rows):
        of_task = [one for one in scored if one.row.task == task]
        found = figures(of_task)
        put(_table(task, of_task, found))
        for name, label in (_SHARES | _COUNTS).items():
            if name in found:
                click.echo(f"  {label:<38} {shown(name, found[name])}")
        if unjudged := sum(not ask.items for one in of_task for ask in one.asks):
            click.echo(f"  {unjudged} asks are unjudged")
    faults = Counter(f"{t.culprit}: {t.error}" for t in transcripts if t.stop == "error")
    faults += Counter(f"format: {kind}" for t in transcripts for kind in t.format_errors)
    for fault, count in faults.most_common(10):
        click.echo(f"  {count} x {fault}")
    click.echo(f"  {len(transcripts)} conversations")
    spent = bills(scored, prices)
    for party, bill in spent.items():
        cost = "" if bill.cost is None else f", cost {money(bill.cost)}"
        tokens = f"{bill.tokens_in} tokens in, {bill.tokens_out} out"
        click.echo(f"  {PARTIES[party]}: {tokens}{cost}")
    if (total := total_cost(spent)) is not None:
        click.echo(f"  in all: cost {money(total)}")


def _table(task: str, of_task: Sequence[Scored], found: Mapping[str, Estimate]) -> Table:
    table = Table("rows", "condition", "played", "accuracy, 95 % interval", "errors", "cut off", "tokens", title=task)
    for kind in ("incomplete", "complete"):
        for condition in CONDITIONS:
            of_kind = [
                s.transcript for s in of_task if s.condition == condition and s.row.is_complete == (kind == "complete")
            ]
            accuracy = found.get(f"accuracy_{kind}/{condition}")
            if not of_kind:
                continue
            errors, cut = (sum(t.stop == stop for t in of_kind) for stop in ("error", "length"))
            tokens = sum(t.model_tokens for t in of_kind) / len(of_kind)
            cell = shown("accuracy", accuracy) if accuracy else "unjudged"
            table.add_row(kind, condition, str(len(of_kind)), cell, str(errors), str(cut), f"{tokens:.0f}")
    return table


def results_json(
    results: Mapping[str, Any], info: Mapping[str, Any], tasks: Mapping[str, Any], limit: int | None
) -> dict[str, Any]:
    """lm-eval's results with what its own command adds, and our tasks' data hashes."""
    keys = ("results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples")
    kept = {key: results[key] for key in keys if key in results}
    kept["configs"] = {task: {k: v for k, v in c.items() if not callable(v)} for task, c in kept["configs"].items()}
    return kept | {
        "config": {"model": "pir", **info, "limit": limit},
        "tasks": dict(tasks),
        "date": time.time(),
        "lm_eval_version": version("lm_eval"),
    }
