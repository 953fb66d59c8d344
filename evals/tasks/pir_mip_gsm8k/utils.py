"""Rows of `pir_mip_gsm8k`: MiP-GSM8K."""

from __future__ import annotations

from evals.data import load as load_rows
from evals.lm_tasks import documents
from evals.rows import Row

TASK = "pir_mip_gsm8k"


def rows(data: str | None = None) -> list[Row]:
    """From the file `data`, or from what `pir eval data fetch mip_gsm8k` brought."""
    return load_rows(TASK, data)


load = documents(TASK, rows)
