"""Rows of `pir_in3`: IN3 (Tell Me More)."""

from __future__ import annotations

from evals.data import load as load_rows
from evals.lm_tasks import documents
from evals.rows import Row

TASK = "pir_in3"


def rows(data: str | None = None) -> list[Row]:
    """From the file `data`, or from what `pir eval data fetch in3` brought."""
    return load_rows(TASK, data)


load = documents(TASK, rows)
