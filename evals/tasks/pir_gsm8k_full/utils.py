"""Rows of `pir_gsm8k_full`: GSM8K, complete."""

from __future__ import annotations

from evals.data import load as load_rows
from evals.lm_tasks import documents
from evals.rows import Row

TASK = "pir_gsm8k_full"


def rows(data: str | None = None) -> list[Row]:
    """From the file `data`, or from what `pir eval data fetch gsm8k` brought."""
    return load_rows(TASK, data)


load = documents(TASK, rows)
