"""Rows of `pir_docedit_chat`: MediumDocEdit-Chat."""

from __future__ import annotations

from evals.data import load as load_rows
from evals.lm_tasks import documents
from evals.rows import Row

TASK = "pir_docedit_chat"


def rows(data: str | None = None, split: str = "test") -> list[Row]:
    """From the file `data`, or from what `pir eval data fetch docedit_chat` brought."""
    return load_rows(TASK, data, split=split)


load = documents(TASK, rows)
