"""Rows of `pir_bigcodebench_chat`: BigCodeBench-Chat."""

from __future__ import annotations

from evals.data import load as load_rows
from evals.lm_tasks import documents
from evals.rows import Row

TASK = "pir_bigcodebench_chat"


def rows(data: str | None = None, split: str = "test") -> list[Row]:
    """From the file `data`, or from what `pir eval data fetch bigcodebench_chat` brought."""
    return load_rows(TASK, data, split=split)


load = documents(TASK, rows)
