"""Reports of a run: Markdown, CSV, JSON in lm-eval's shape, plots, and one page to read conversations in."""

from evals.report.write import write_report

__all__ = ["write_report"]
