"""Plots of a run, each as PNG and SVG. What has no data gets no plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from evals.metrics import Scored
from evals.report.tables import TaskReport
from evals.stats import Share

_BINS = 8
_COLORS = {"incomplete": "#1f77b4", "complete": "#ff7f0e"}


def draw(report: TaskReport, folder: Path) -> list[str]:
    """Draws a task's plots into `folder`; the names of the PNG files."""
    # No pyplot: it keeps figures in a global and looks for a screen.
    from matplotlib.figure import Figure

    names = []
    for name, drawing in (("gap", _gap), ("turns", _turns), ("ask-curve", _ask_curve), ("reliability", _reliability)):
        figure = Figure(figsize=(7, 4), layout="constrained")
        if drawing(figure.subplots(), report):
            for kind in ("png", "svg"):
                figure.savefig(folder / f"{report.task}-{name}.{kind}", dpi=120)
            names.append(f"{report.task}-{name}.png")
    return names


def _gap(axes: Any, report: TaskReport) -> bool:
    """The recovered gap of each family and of all."""
    parts = {**report.parts.get("family", {}), "all": report.figures}
    gaps = {name: found["recovered_gap"] for name, found in parts.items() if "recovered_gap" in found}
    drawn = {name: gap for name, gap in gaps.items() if math.isfinite(gap.value)}
    if not drawn:
        return False
    left, right = -0.5, 1.5  # an interval without a bound leaves the picture, which is what it says
    for place, gap in enumerate(drawn.values()):
        low, value, high = (min(right, max(left, x)) for x in (gap.low, gap.value, gap.high))
        axes.plot([low, high], [place, place], color="#1f77b4", linewidth=2)
        axes.plot([value], [place], "o", color="#1f77b4")
    axes.set_yticks(range(len(drawn)), [_plain(name) for name in drawn])
    for edge in (0, 1):
        axes.axvline(edge, color="gray", linewidth=0.8)
    axes.set(
        xlim=(left, right),
        xlabel="recovered gap (0: as without asking, 1: as with the whole problem)",
        title=_plain(report.task),
    )
    return True


def _turns(axes: Any, report: TaskReport) -> bool:
    counts = {
        kind: [
            one.transcript.num_asks
            for one in _interactive(report.scored)
            if one.row.is_complete == (kind == "complete")
        ]
        for kind in _COLORS
    }
    counts = {kind: asks for kind, asks in counts.items() if asks}
    if not counts:
        return False
    most = max(max(asks) for asks in counts.values())
    for offset, (kind, asks) in enumerate(counts.items()):
        shares = [asks.count(k) / len(asks) for k in range(most + 1)]
        axes.bar(
            [k + 0.4 * offset for k in range(most + 1)],
            shares,
            width=0.4,
            align="edge",
            label=kind,
            color=_COLORS[kind],
        )
    axes.set(
        xlabel="asks",
        ylabel="share of conversations",
        title=_plain(report.task),
        xticks=[k + 0.4 for k in range(most + 1)],
    )
    axes.set_xticklabels([str(k) for k in range(most + 1)])
    axes.legend(title="the problem is")
    return True


def _ask_curve(axes: Any, report: TaskReport) -> bool:
    """Does asking follow uncertainty: share that asked, over the highest step entropy before the first ask."""
    drawn = False
    for kind, color in _COLORS.items():
        points = [
            (max(entropies), float(one.transcript.num_asks > 0))
            for one in _interactive(report.scored)
            if one.row.is_complete == (kind == "complete") and (entropies := _entropies(one, first_leg=True))
        ]
        drawn |= _curve(axes, points, kind, color)
    axes.set(
        xlabel="highest step entropy before the first ask (nats a token)",
        ylabel="share that asked",
        ylim=(-0.02, 1.02),
        title=_plain(report.task),
    )
    if drawn:
        axes.legend(title="the problem is")
    return drawn


def _reliability(axes: Any, report: TaskReport) -> bool:
    """Is certainty a sign of being right: accuracy over the mean step entropy."""
    drawn = False
    for condition, color in (("interactive", "#1f77b4"), ("no_ask", "#d62728"), ("full", "#2ca02c")):
        points = [
            (sum(entropies) / len(entropies), one.score)
            for one in report.scored
            if one.condition == condition and one.score in (0, 1) and (entropies := _entropies(one, first_leg=False))
        ]
        drawn |= _curve(axes, points, condition, color)
    axes.set(
        xlabel="mean step entropy (nats a token)", ylabel="share right", ylim=(-0.02, 1.02), title=_plain(report.task)
    )
    if drawn:
        axes.legend(title="condition")
    return drawn


def _curve(axes: Any, points: Sequence[tuple[float, float]], name: str, color: str) -> bool:
    """Shares in bins of about equal size, with Wilson's intervals."""
    points = sorted(points)
    if not points:
        return False
    bins = min(_BINS, max(1, len(points) // 5))
    cuts = [len(points) * k // bins for k in range(bins + 1)]
    parts = [points[a:b] for a, b in pairwise(cuts)]
    shares = [Share.of(bool(flag) for _, flag in part) for part in parts]
    at = [sum(x for x, _ in part) / len(part) for part in parts]
    low = [max(0.0, share.value - share.interval[0]) for share in shares]
    high = [max(0.0, share.interval[1] - share.value) for share in shares]
    axes.errorbar(
        at, [share.value for share in shares], yerr=[low, high], marker="o", capsize=3, color=color, label=name
    )
    return True


def _interactive(scored: Sequence[Scored]) -> list[Scored]:
    return [one for one in scored if one.condition == "interactive"]


def _entropies(one: Scored, *, first_leg: bool) -> list[float]:
    return [float(step["entropy"]) for step in one.transcript.steps if not first_leg or not step.get("leg")]


def _plain(name: str) -> str:
    """A name in which matplotlib finds no formula and nothing that it cannot write."""
    return name.encode(errors="backslashreplace").decode().replace("$", "\\$")
