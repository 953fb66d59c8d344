"""Rows of `pir_triviaqa`: TriviaQA, the user holds the article."""

from __future__ import annotations

from evals.data import load as load_rows
from evals.lm_tasks import documents
from evals.rows import Row

TASK = "pir_triviaqa"


def rows(data: str | None = None) -> list[Row]:
    """From the file `data`, or from what `pir eval data fetch triviaqa` brought."""
    return load_rows(TASK, data)


load = documents(TASK, rows)
