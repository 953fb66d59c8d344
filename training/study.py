"""`pir train study`: one checkpoint against others trained from it, on the same held-out pairs, greedily, in process.

Every rollout's figures are kept in the output folder, a file a checkpoint and condition; what is there is not played again.
The change is that of the mean over the checkpoints (seeds), with a paired bootstrap over problems: it holds for these seeds,
whose own figures stand beside it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from evals.paired import Condition, Outcome
from evals.problems import Split
from evals.simulators import Persona
from evals.stats import Difference, Share, paired_bootstrap
from pir_serve.errors import ConfigError
from training.bulk import played, shared_out
from training.checkpoint import versions


@dataclass(frozen=True, slots=True)
class Play:
    """A way in which all problems are played."""

    condition: Condition
    persona: Persona = "clean"

    @property
    def name(self) -> str:
        spoken = {
            "complete": "complete",
            "complete_no_ask": "complete, may not ask",
            "no_ask": "incomplete, may not ask",
        }
        return spoken.get(self.condition, f"incomplete, {self.persona} user")

    @property
    def file(self) -> str:
        return f"{self.condition}-{self.persona}.json"


@dataclass(frozen=True, slots=True)
class Rollouts:
    """Of one checkpoint under one `Play`: a value a problem, in the problems' order."""

    correct: list[bool]
    asks: list[int]
    tokens: list[int]
    """The model's own."""

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Rollouts:
        return cls(
            [o.correct for o in outcomes],
            [o.num_asks for o in outcomes],
            [o.trajectory.num_model_tokens for o in outcomes],
        )

    @property
    def asked(self) -> list[bool]:
        return [n > 0 for n in self.asks]

    @property
    def turns_when_asked(self) -> float | None:
        return fmean(n for n in self.asks if n) if any(self.asks) else None


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """What is played."""

    output: Path
    split: Split = "heldout_numbers"
    pairs: int = 1000
    seed: int = 31
    separately: bool = False
    """The change of each checkpoint in the table, not that of their mean."""
    personas: tuple[Persona, ...] = ("clean",)
    processes: int = 2

    @property
    def plays(self) -> list[Play]:
        always: tuple[Condition, ...] = ("complete", "complete_no_ask", "no_ask")
        return [*map(Play, always), *(Play("interactive", persona) for persona in self.personas)]


def study(config: StudyConfig, before: Path, after: Sequence[Path]) -> dict[str, Any]:
    """Play all and write `study.json`, `study.md` and `study.svg`; returns what the first holds and the `table`.

    Raises:
        ConfigError: a folder that is no checkpoint, or rollouts of other settings in the output folder.
    """
    for folder in (before, *after):
        if not (folder / "config.json").is_file():
            raise ConfigError(f"{folder} is no checkpoint folder")
    _same_settings(config)
    folders = (before, *after)
    played = {play.name: [_rollouts(config, folder, play) for folder in folders] for play in config.plays}
    report = {
        "before": str(before),
        "after": [str(folder) for folder in after],
        "settings": _settings(config),
        "versions": versions(),
        "results": {name: _figures(rollouts) for name, rollouts in played.items()},
        "each": [
            {name: _figures([rollouts[0], rollouts[k]]) for name, rollouts in played.items()}
            for k in range(1, len(folders))
        ],
    }
    table = markdown_of_each(report) if config.separately else markdown(report)
    (config.output / "study.json").write_text(json.dumps(report, indent=2) + "\n")
    (config.output / "study.md").write_text(table)
    draw(report, config.output / "study.svg")
    return report | {"table": table}


def _settings(config: StudyConfig) -> dict[str, Any]:
    return {"split": config.split, "pairs": config.pairs, "seed": config.seed}


def _same_settings(config: StudyConfig) -> None:
    file = config.output / "settings.json"
    config.output.mkdir(parents=True, exist_ok=True)
    if file.exists() and (kept := json.loads(file.read_text())) != _settings(config):
        raise ConfigError(f"{config.output} holds rollouts of {kept}; name another output folder, or these settings")
    file.write_text(json.dumps(_settings(config)))


def _rollouts(config: StudyConfig, folder: Path, play: Play) -> Rollouts:
    """From the output folder, else played now. The file names the weights, so that a folder trained further is played anew."""
    digest = _digest(folder / "model.safetensors")
    file = config.output / f"{folder.name}-{digest}-{play.file}"
    if file.exists():
        return Rollouts(**json.loads(file.read_text()))
    print(f"  {folder}: {play.name} ...", flush=True)
    job = functools.partial(played, folder, (), config.split, config.seed, play.condition, play.persona)
    rollouts = Rollouts.of(shared_out(job, config.pairs, config.processes))
    file.write_text(json.dumps(asdict(rollouts)))
    return rollouts


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:12]


def _figures(rollouts: Sequence[Rollouts]) -> dict[str, Any]:
    """The first is the one before."""
    columns: dict[str, list[Sequence[float]]] = {
        "accuracy": [r.correct for r in rollouts],
        "asked": [r.asked for r in rollouts],
        "asks": [r.asks for r in rollouts],
        "tokens": [r.tokens for r in rollouts],
    }
    figures: dict[str, Any] = {name: _change(values) for name, values in columns.items()}
    for name in ("accuracy", "asked"):
        figures[name]["shares"] = [Share.of(map(bool, values)).to_json() for values in columns[name]]
    figures["turns_when_asked"] = [r.turns_when_asked for r in rollouts]
    all_asked = [k for k in range(len(rollouts[0].asks)) if all(r.asks[k] for r in rollouts)]
    if all_asked:
        figures["turns"] = _change([[r.asks[k] for k in all_asked] for r in rollouts])
    return figures


def _change(values: Sequence[Sequence[float]]) -> dict[str, Any]:
    before, after = values[0], np.mean(np.asarray(values[1:], dtype=np.float64), axis=0).tolist()
    change: Difference = paired_bootstrap(before, after, range(len(before)))
    return {"means": [fmean(column) for column in values], "change": change.estimate.to_json(), "p": change.p}


def markdown(report: dict[str, Any]) -> str:
    """A table of accuracy, asking and turns."""
    number = len(report["after"])
    heads = ["played", "figure", "before", *(f"after, {k + 1}" for k in range(number)), "mean change [95 %]"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for play, figures in report["results"].items():
        asks = ("asked",) if play == "complete" else () if "may not ask" in play else ("asked", "turns")
        for name in ("accuracy", *(name for name in asks if name in figures)):
            lines.append(f"| {play} | {_NAMES[name]} | {' | '.join(_cells(figures[name], name))} |")
    return "\n".join(lines) + "\n"


_NAMES = {
    "accuracy": "accuracy, %",
    "asked": "asks, %",
    "asks": "asks a problem",
    "turns": "asks, where all of them asked",
}


def markdown_of_each(report: dict[str, Any]) -> str:
    """A line a checkpoint: its figures, and behind them their change from `before` with its interval."""
    figures = [
        (play, name)
        for play in report["results"]
        for name in (("accuracy", "asked") if play == "complete" else ("accuracy",))
        + (("asks",) if play.startswith("incomplete") and "may not" not in play else ())
    ]
    lines = [
        f"| checkpoint | {' | '.join(f'{play}: {_NAMES[name]}' for play, name in figures)} |",
        "|---" * (len(figures) + 1) + "|",
    ]
    before = [_cells(report["results"][play][name], name)[0] for play, name in figures]
    lines.append(f"| {_short(report['before'])} | {' | '.join(before)} |")
    for folder, results in zip(report["after"], report["each"], strict=True):
        cells = [_cells(results[play][name], name) for play, name in figures]
        lines.append(f"| {_short(folder)} | {' | '.join(f'{after} ({change})' for _, after, change in cells)} |")
    return "\n".join(lines) + "\n"


def _short(folder: str) -> str:
    """The folder's name; of a checkpoint within a run the run's as well."""
    path = Path(folder)
    return f"{path.parent.name}/{path.name}" if path.name.startswith("checkpoint-") else path.name


def draw(report: dict[str, Any], file: Path) -> None:
    """Accuracy under every play, and how often it asked, of each checkpoint with 95 % intervals."""
    from matplotlib.figure import Figure

    folders = [_short(folder) for folder in (report["before"], *report["after"])]
    figure = Figure(figsize=(9, 1.2 + 0.16 * len(folders) * len(report["results"])), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), ("accuracy", "asked"), strict=True):
        for k, folder in enumerate(folders):
            shares = [figures[name]["shares"][k] for figures in report["results"].values()]
            places = [place + (k - (len(folders) - 1) / 2) * 0.7 / len(folders) for place in range(len(shares))]
            axes.hlines(places, [s["low"] for s in shares], [s["high"] for s in shares], color=f"C{k}", linewidth=1.5)
            axes.plot([s["value"] for s in shares], places, "o", color=f"C{k}", markersize=4, label=folder)
        axes.set(xlim=(0, 1), title=_NAMES[name].removesuffix(", %"), yticks=range(len(report["results"])))
        axes.set_yticklabels(report["results"])
        axes.grid(axis="x", alpha=0.3)
    figure.axes[0].invert_yaxis()
    figure.axes[1].legend(fontsize="small")
    figure.savefig(file)


def _cells(figures: dict[str, Any], name: str) -> list[str]:
    times, digits = (1, 2) if name in ("asks", "turns") else (100, 1)
    change = [f"{times * figures['change'][key]:+.{digits}f}" for key in ("value", "low", "high")]
    return [*(f"{times * mean:.{digits}f}" for mean in figures["means"]), f"{change[0]} [{change[1]}, {change[2]}]"]
