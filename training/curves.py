"""`pir train curves`: how accuracy and asking went over the updates of US-GRPO runs, a line a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pir_serve.errors import ConfigError

FIGURES = {
    "accuracy/complete": "accuracy, complete problems",
    "accuracy/incomplete": "accuracy, incomplete problems",
    "asked/complete": "asks on complete problems (share)",
    "asks/incomplete": "asks an incomplete problem",
}


def history(run: Path) -> list[dict[str, Any]]:
    """What a run logged, a row an update and a row an evaluation, up to its newest checkpoint.

    Raises:
        ConfigError: no checkpoint of a US-GRPO run there.
    """
    states = sorted(run.glob("checkpoint-*/trainer_state.json"), key=lambda file: int(file.parent.name.split("-")[1]))
    rows: list[dict[str, Any]] = json.loads(states[-1].read_text())["log_history"] if states else []
    if not any("asks/incomplete" in row for row in rows):
        raise ConfigError(f"{run} holds no checkpoint of a US-GRPO run (checkpoint-*/trainer_state.json)")
    return rows


def curve(rows: Sequence[dict[str, Any]], figure: str, smooth: int) -> tuple[list[int], list[float]]:
    """Updates, and at each the mean of `figure` over the last `smooth` of them that logged it.

    Example:
        >>> curve([{"step": 1, "asks": 1.0}, {"step": 2, "asks": 3.0}, {"step": 2, "eval_asks": 9.0}], "asks", 2)
        ([1, 2], [1.0, 2.0])
    """
    logged = [(row["step"], row[figure]) for row in rows if figure in row]
    values = [value for _, value in logged]
    return [step for step, _ in logged], [fmean(values[max(0, k + 1 - smooth) : k + 1]) for k in range(len(values))]


def draw(runs: Sequence[Path], file: Path, *, smooth: int = 10) -> None:
    """Lines: rollouts in training (sampled, running mean). Dots: evaluations on the validation split, where there were any."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (name, title) in zip(figure.subplots(2, 2, sharex=True).flat, FIGURES.items(), strict=True):
        for k, run in enumerate(runs):
            rows = history(run)
            axes.plot(*curve(rows, name, smooth), color=f"C{k}", linewidth=1.2, label=run.name)
            axes.plot(*curve(rows, f"eval_{name}", 1), "o", color=f"C{k}", markersize=3)
        axes.set(title=title)
        axes.grid(alpha=0.3)
    for axes in figure.axes[2:]:
        axes.set(xlabel="update")
    figure.axes[0].legend(fontsize="small")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
