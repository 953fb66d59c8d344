"""What figures are called where people read them, and in what order."""

from __future__ import annotations

import math

from evals.metrics import is_share
from evals.stats import Estimate

LABELS = {
    "recovered_gap": "recovered gap",
    "gain_over_no_ask": "gain over not asking",
    "ask_precision": "asks: precision",
    "ask_recall": "asks: recall",
    "ask_f1": "asks: F1",
    "ask_balanced_accuracy": "asks: balanced accuracy",
    "over_ask": "asked although nothing was missing",
    "under_ask": "did not ask although something was",
    "first_question_precision": "first question drew out a missing fact",
    "fact_coverage": "missing facts drawn out",
    "helpfulness": "helpfulness of asks, by the judge",
    "ask_needed": "asks: needed, by the judge",
    "ask_answerable": "asks: answerable, by the judge",
    "ask_specific": "asks: specific, by the judge",
    "ask_new": "asks: new, by the judge",
    "asks_unjudged": "asks unjudged",
    "turns": "asks a conversation",
    "turns_when_asked": "asks a conversation, where it asked",
    "turns_over_cap": "stopped at the cap of asks",
    "tokens_policy": "tokens by the model",
    "tokens_prompt": "prompt tokens",
    "tokens_simulator": "tokens of the user simulator",
    "tokens_judge": "tokens of judges",
    "seconds": "seconds",
    "seconds_simulator": "seconds of the user simulator",
    "accuracy": "accuracy",
    "accuracy_incomplete": "accuracy, something missing",
    "accuracy_complete": "accuracy, nothing missing",
    "truncated": "cut off",
    "format_errors": "format errors",
    "errors": "errors",
    "unparsed": "no answer found",
    "grader_timeouts": "not compared in time",
    "unjudged": "unjudged",
}


def label(name: str) -> str:
    """Of a figure such as `accuracy/no_ask`."""
    figure, _, condition = name.partition("/")
    words = LABELS.get(figure, figure)
    return f"{words} ({condition})" if condition else words


def money(cost: float | None) -> str:
    """Four digits behind the point, in whatever currency the prices are; nothing where there is no price."""
    return "" if cost is None else f"{cost:.4f}"


def shown(name: str, found: Estimate) -> str:
    """`52.0 % [45.1, 58.8]`; an interval without a bound says so."""
    if math.isnan(found.value):
        return "undefined"
    scale, unit, digits = (100, " %", 1) if is_share(name) else (1, "", 2 if found.value < 100 else 0)
    low, high = (f"{scale * x:.{digits}f}" if math.isfinite(x) else "no bound" for x in (found.low, found.high))
    return f"{scale * found.value:.{digits}f}{unit} [{low}, {high}]"
