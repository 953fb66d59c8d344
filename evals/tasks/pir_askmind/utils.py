"""Rows of `pir_askmind`: AskMind, MATH-500 part."""

from __future__ import annotations

from evals.data import load as load_rows
from evals.lm_tasks import documents
from evals.rows import Row

TASK = "pir_askmind"


def rows(data: str | None = None) -> list[Row]:
    """From the file `data`, or from what `pir eval data fetch askmind` brought."""
    return load_rows(TASK, data)


load = documents(TASK, rows)
