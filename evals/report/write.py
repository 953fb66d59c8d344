"""Writes a run's report into a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from evals.costs import Prices
from evals.metrics import Scored
from evals.report.plots import draw
from evals.report.tables import csv_text, markdown, results_json, task_reports
from evals.runs import Run


def write_report(
    run: Run, scored: Sequence[Scored], folder: Path, *, prices: Prices | None = None, seed: int = 0
) -> list[Path]:
    """`report.md`, `report.csv`, `results.json` and plots; the files written. Prices not given are those of the run."""
    folder.mkdir(parents=True, exist_ok=True)
    told = run.manifest.get("prices", {}) | (prices.to_json() if prices else {})
    reports = task_reports(scored, Prices(**told), seed=seed)
    plots = [name for report in reports for name in draw(report, folder)]
    texts = {
        "report.md": markdown(reports, run.manifest, plots),
        "report.csv": csv_text(reports),
        "results.json": json.dumps(results_json(reports, run.manifest), indent=1, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        # Half an emoji, which a model may well write, is no UTF-8.
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    return [folder / name for name in (*texts, *plots)]
