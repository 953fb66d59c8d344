"""A study of uncertainty as Markdown, JSON and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.stats import Estimate
from evals.uncertainty import PLACES, SIGNALS, AsksFollow, Signal

_BLUE = "#1f77b4"


@dataclass(frozen=True, slots=True)
class Study:
    """What a run says of its model's uncertainty."""

    title: str
    signals: Sequence[Signal]
    asks: AsksFollow
    notes: Sequence[str]
    """What could not be measured, and why."""
    manifest: Mapping[str, Any]
    seed: int

    def to_json(self) -> dict[str, Any]:
        kept = ("identity", "tasks", "repeats", "packages")
        return {
            "signals": {signal.name: signal.to_json() for signal in self.signals},
            "asks_follow_entropy": self.asks.to_json(),
            "notes": list(self.notes),
            "bootstrap_seed": self.seed,
            "run": {name: self.manifest[name] for name in kept if name in self.manifest},
        }

    def markdown(self) -> str:
        lines = ["| signal | AUROC | mean, something missing | mean, nothing missing | versions |", "|" + "---|" * 5]
        for one in self.signals:
            means = f"{one.mean_missing:.3f} | {one.mean_complete:.3f}"
            lines.append(f"| {SIGNALS[one.name]} | {_shown(one.auroc)} | {means} | {one.auroc.n} |")
        lines += ["", "| where | step entropy, nats a token | steps |", "|---|---|---|"]
        for place, found in self.asks.means.items():
            lines.append(f"| {PLACES[place]} | {_shown(found)} | {found.n} |")
        if self.asks.auroc.n:
            lines += ["", f"AUROC of a step's entropy for an ask behind it: {_shown(self.asks.auroc)}."]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"


def _shown(found: Estimate) -> str:
    if math.isnan(found.value):
        return "undefined"
    low, high = (f"{x:.3f}" if math.isfinite(x) else "no bound" for x in (found.low, found.high))
    return f"{found.value:.3f} [{low}, {high}]"


def write_study(study: Study, folder: Path) -> list[Path]:
    """`uncertainty.md`, `uncertainty.json` and the plots; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "uncertainty.md": f"# {study.title}\n\n{study.markdown()}",
        "uncertainty.json": json.dumps(study.to_json(), indent=1, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    rows = {SIGNALS[one.name]: one.auroc for one in study.signals}
    places = {PLACES[place]: found for place, found in study.asks.means.items()}
    drawn = [
        _draw(rows, folder / "uncertainty-auroc", "AUROC for a missing premise", study.title, middle=0.5),
        _draw(places, folder / "uncertainty-asks", "step entropy (nats a token)", study.title),
    ]
    return [folder / name for name in texts] + [file for files in drawn for file in files]


def _draw(rows: Mapping[str, Estimate], stem: Path, label: str, title: str, *, middle: float = 0.0) -> list[Path]:
    """Each figure as a dot with its interval, the first on top; nothing where there is nothing to draw."""
    from matplotlib.figure import Figure

    found = {name: one for name, one in rows.items() if math.isfinite(one.value)}
    if not found:
        return []
    figure = Figure(figsize=(8, 1.2 + 0.4 * len(found)), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(found.values()):
        bounds = [x if math.isfinite(x) else one.value for x in (one.low, one.high)]
        axes.plot(bounds, [place, place], color=_BLUE, linewidth=2)
        axes.plot([one.value], [place], "o", color=_BLUE)
    axes.axvline(middle, color="gray", linewidth=0.8)
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.set(xlabel=label, title=title.replace("$", "\\$"))
    files = [stem.with_suffix(f".{kind}") for kind in ("png", "svg")]
    for file in files:
        figure.savefig(file, dpi=120)
    return files
