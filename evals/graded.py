"""A run's conversations with their grades: what comparisons, reports and the viewer work on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from evals.grading import GradingOptions, grade
from evals.metrics import Scored
from evals.rows import STOCK, Row, Transcript
from evals.runs import Run, RunError, read_run

if TYPE_CHECKING:
    from evals.grading.judge import Judge

WORKERS = 4
"""Threads; what takes long (parsing expressions, running code, a judge) happens in other processes."""


def graded_run(folder: Path, options: GradingOptions | None = None) -> tuple[Run, list[Scored]]:
    """A run, graded now: all that is ever put side by side was graded by the same graders.

    Stock tasks of lm-eval are left out: it has graded them itself.

    Raises:
        RunError: the folder holds no run, nothing of our tasks, or a conversation of a row that it lacks.
    """
    run = read_run(folder)
    rows = {(row.task, row.row_id) for row in run.rows}
    lost = [t.row_id for t in run.transcripts if (t.task, t.row_id) not in rows]
    if lost:
        raise RunError(f"{folder} has conversations of rows that it lacks: {', '.join(lost[:3])}")
    stock = {(row.task, row.row_id) for row in run.rows if row.source == STOCK}
    ours = [t for t in run.transcripts if (t.task, t.row_id) not in stock]
    if run.transcripts and not ours:
        raise RunError(f"{folder} holds stock tasks only: lm-eval grades them, its own results have their figures")
    return run, graded(run.rows, ours, options)


def graded(
    rows: Iterable[Row], transcripts: Iterable[Transcript], options: GradingOptions | None = None
) -> list[Scored]:
    """Each conversation with its row and its grade."""
    by_name = {(row.task, row.row_id): row for row in rows}
    chosen = options or GradingOptions()

    def one(transcript: Transcript) -> Scored:
        row = by_name[transcript.task, transcript.row_id]
        return Scored(row, transcript, grade(row, transcript, chosen))

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, transcripts))


def with_helpfulness(scored: Iterable[Scored], judge: Judge | None) -> list[Scored]:
    """Each conversation with the judge's findings on its asks; without a judge as it is."""
    if judge is None:
        return list(scored)
    from evals.grading.judge import helpfulness

    def one(of: Scored) -> Scored:
        return dataclasses.replace(of, asks=helpfulness(of.row, of.transcript, judge))

    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, scored))
