"""Does a model's uncertainty tell that a premise is missing, and does its asking follow it?

Pure functions over a run. What is compared is one problem read in two versions with asking off: `no_ask` (something is
missing) and `full` (nothing is). A signal is a number for each version, higher where the model is less sure; its AUROC is
the chance that it is higher for a version that lacks something than for one that does not.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from evals.metrics import Scored, cluster
from evals.rows import Transcript
from evals.stats import NOTHING, Estimate, auroc_bootstrap, clustered_mean

SIGNALS = {
    "step_entropy_mean": "step entropy, mean over steps",
    "step_entropy_max": "step entropy, highest step",
    "token_peak": "surprisal of the least likely token",
    "self_consistency": "disagreement of the answers of several samples",
    "verbalised": "chance of a missing premise, as the model says",
    "mc_dropout": "disagreement under dropout (BALD)",
    "brevity": "the problem is short (knows no model)",
    "asked": "it asked, where it might",
}
"""The last two are no uncertainty: what length alone gives away, and what the model makes of it all."""
PLACES = {
    "before_ask": "step before an ask",
    "after_response": "first step after a response",
    "after_silence": "first step after an ask that nobody answered (asking off)",
    "elsewhere": "all other steps, interactive",
    "elsewhere_no_ask": "all other steps, asking off",
}

Version = tuple[str, str, bool]
"""(task, row id of the incomplete row, whether something is missing)."""
Scores = Mapping[Version, float]


@dataclass(frozen=True, slots=True)
class Signal:
    """How well one signal tells the versions apart."""

    name: str
    auroc: Estimate
    mean_missing: float
    mean_complete: float

    def to_json(self) -> dict[str, Any]:
        means = {"mean_missing": round(self.mean_missing, 5), "mean_complete": round(self.mean_complete, 5)}
        return {"auroc": self.auroc.to_json(), **means}


@dataclass(frozen=True, slots=True)
class AsksFollow:
    """Where asks stand among the steps."""

    means: Mapping[str, Estimate]
    """Mean entropy of the steps at each of `PLACES`, nats a token, clustered by problem."""
    auroc: Estimate
    """Of a step's entropy for "an ask comes next"."""

    def to_json(self) -> dict[str, Any]:
        return {"means": {k: found.to_json() for k, found in self.means.items()}, "auroc": self.auroc.to_json()}


def versions(scored: Iterable[Scored]) -> dict[Version, list[Scored]]:
    """The conversations with asking off of each version, repeats in order, of problems that have both versions."""
    found: dict[Version, list[Scored]] = defaultdict(list)
    for one in sorted(scored, key=lambda one: one.transcript.repeat):
        if one.condition != "interactive" and not one.row.is_complete:
            found[one.row.task, one.row.row_id, one.condition == "no_ask"].append(one)
    return {key: of for key, of in found.items() if (*key[:2], not key[2]) in found}


def text_of(one: Scored) -> str:
    """What the model read in a conversation with asking off."""
    return one.row.full if one.condition == "full" else one.row.shown


def signals(scored: Sequence[Scored], more: Mapping[str, Scores] | None = None, *, seed: int = 0) -> list[Signal]:
    """Every signal that the run has data for. `more`: signals measured apart from it, by name.

    Entropies are of each version's first sample: self-consistency costs as many samples as there are repeats, the
    others one.
    """
    by_version = versions(scored)
    pairs = {key[:2]: cluster(of[0]) for key, of in by_version.items()}
    columns: dict[str, Scores] = {
        "step_entropy_mean": _of_steps(by_version, lambda t: fmean(_values(t, "entropy"))),
        "step_entropy_max": _of_steps(by_version, lambda t: max(_values(t, "entropy"))),
        "token_peak": _of_steps(by_version, lambda t: max(_values(t, "peak")) if _values(t, "peak") else math.nan),
        "self_consistency": {key: _disagreement(of) for key, of in by_version.items() if len(of) > 1},
        **(more or {}),
        "brevity": {key: -float(len(text_of(of[0]).split())) for key, of in by_version.items()},
    }
    found = [_signal(name, column, pairs, seed) for name, column in columns.items()]
    return [signal for signal in (*found, _asked(scored, seed)) if signal.auroc.n]


def _values(transcript: Transcript, name: str) -> list[float]:
    return [float(step[name]) for step in transcript.steps if name in step]


def _of_steps(by_version: Mapping[Version, Sequence[Scored]], measure: Callable[[Transcript], float]) -> Scores:
    values = {key: measure(of[0].transcript) for key, of in by_version.items() if of[0].transcript.steps}
    return {key: value for key, value in values.items() if not math.isnan(value)}


def _disagreement(samples: Sequence[Scored]) -> float:
    """1 minus the share of the most frequent answer; a sample without an answer agrees with none."""
    answers = Counter(one.grade.answer if one.score is not None and one.grade.answer else object() for one in samples)
    return 1 - max(answers.values()) / len(samples)


def _signal(name: str, column: Scores, pairs: Mapping[tuple[str, str], str], seed: int) -> Signal:
    """On problems that have the signal in both versions."""
    both = [key for key in column if (*key[:2], not key[2]) in column and key[:2] in pairs]
    return _of_values(name, [column[k] for k in both], [k[2] for k in both], [pairs[k[:2]] for k in both], seed)


def _of_values(
    name: str, values: Sequence[float], missing: Sequence[bool], clusters: Sequence[str], seed: int
) -> Signal:
    by_kind = {kind: [v for v, m in zip(values, missing, strict=True) if m == kind] for kind in (True, False)}
    if not all(by_kind.values()):
        return Signal(name, NOTHING, math.nan, math.nan)
    found = auroc_bootstrap(values, missing, clusters, seed=seed)
    return Signal(name, found, fmean(by_kind[True]), fmean(by_kind[False]))


def _asked(scored: Iterable[Scored], seed: int) -> Signal:
    """Asking itself as the signal, on pairs of rows: its AUROC is the balanced accuracy of asking."""
    played = [one for one in scored if one.condition == "interactive"]
    kinds: dict[str, set[bool]] = defaultdict(set)
    for one in played:
        kinds[cluster(one)].add(one.row.is_complete)
    paired = [one for one in played if len(kinds[cluster(one)]) == 2]
    values = [float(one.transcript.num_asks > 0) for one in paired]
    return _of_values("asked", values, [not one.row.is_complete for one in paired], [*map(cluster, paired)], seed)


def asks_follow(scored: Sequence[Scored], *, seed: int = 0) -> AsksFollow:
    """The entropy of steps beside asks, against that of all others.

    A model that asks writes the ask in place of the step that would have been a guess, so that what it was unsure of
    shows best in the step that follows an ask which nobody answered.
    """
    values: dict[str, list[float]] = defaultdict(list)
    clusters: dict[str, list[str]] = defaultdict(list)
    followed: list[tuple[float, bool, str]] = []
    for one in scored:
        if one.condition == "full":
            continue
        for place, entropy in _placed(one.transcript):
            values[place].append(entropy)
            clusters[place].append(cluster(one))
            if one.condition == "interactive":
                followed.append((entropy, place == "before_ask", cluster(one)))
    means = {place: clustered_mean(values[place], clusters[place]) for place in PLACES if place in values}
    auroc = (
        auroc_bootstrap(*zip(*followed, strict=True), seed=seed)
        if {f for _, f, _ in followed} == {True, False}
        else NOTHING
    )
    return AsksFollow(means, auroc)


def _placed(transcript: Transcript) -> Iterable[tuple[str, float]]:
    legs: dict[int, list[float]] = defaultdict(list)
    for step in transcript.steps:
        legs[int(step.get("leg") or 0)].append(float(step["entropy"]))
    interactive = transcript.condition == "interactive"
    asks = transcript.num_asks if interactive else transcript.auto_answers
    for leg, entropies in legs.items():
        for number, entropy in enumerate(entropies):
            if interactive and leg < asks and number == len(entropies) - 1:
                yield "before_ask", entropy
            elif 0 < leg <= asks and number == 0:
                yield "after_response" if interactive else "after_silence", entropy
            else:
                yield "elsewhere" if interactive else "elsewhere_no_ask", entropy
