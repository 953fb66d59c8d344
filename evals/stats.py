"""Intervals for evaluation: shares, clustered means, paired comparisons, ratios, areas.

Observations that belong together (the two versions of a problem, its repeats) share a cluster, and clusters are what is
drawn again. Resampling is seeded: the same data give the same interval. scipy does what it has.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
DRAWS = 10_000
"""Of a bootstrap: the 2.5th percentile then rests on 250 of them."""
_DRAWS_AT_ONCE = 500
_KEPT_CLUSTERS = 1000
"""80 MB of draws are kept, no more."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `n`, with Wilson's 95 % interval (E. B. Wilson 1927, without continuity correction)."""

    hits: int
    n: int

    @classmethod
    def of(cls, flags: Iterable[bool]) -> Share:
        values = list(flags)
        return cls(sum(values), len(values))

    @property
    def value(self) -> float:
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        return _wilson(self.value, self.n)

    def to_json(self) -> dict[str, float | int]:
        low, high = self.interval
        return {
            "value": round(self.value, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "hits": self.hits,
            "n": self.n,
        }

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval. NaN: there is nothing to tell it from; an infinite bound: the data set none."""

    value: float
    low: float
    high: float
    n: int
    """Observations."""
    clusters: int

    def to_json(self) -> dict[str, float | int | None]:
        """JSON-ready: what is not finite is null."""
        bounds = {name: getattr(self, name) for name in ("value", "low", "high")}
        finite = {name: round(x, 6) if math.isfinite(x) else None for name, x in bounds.items()}
        return {**finite, "n": self.n, "clusters": self.clusters}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Estimate:
        bounds = {name: math.nan if data[name] is None else data[name] for name in ("value", "low", "high")}
        return cls(**bounds, n=data["n"], clusters=data["clusters"])


NOTHING = Estimate(math.nan, math.nan, math.nan, 0, 0)


def _wilson(p: float, n: float) -> tuple[float, float]:
    if not n:
        return (math.nan, math.nan)
    z2 = Z95 * Z95
    centre = p + z2 / (2 * n)
    half = Z95 * math.sqrt(max(0.0, p * (1 - p) / n + z2 / (4 * n * n)))
    scale = 1 + z2 / n
    return (max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale))


def _per_cluster(clusters: Sequence[Hashable], *columns: Sequence[float]) -> Floats:
    """Sums by cluster, clusters in the order they first occur, `(clusters, columns)`; the last column counts."""
    places: dict[Hashable, int] = {}
    index = np.array([places.setdefault(cluster, len(places)) for cluster in clusters], dtype=np.intp)
    data = np.column_stack([*(np.asarray(column, dtype=np.float64) for column in columns), np.ones(len(index))])
    sums = np.zeros((len(places), data.shape[1]))
    np.add.at(sums, index, data)
    return sums


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable], *, share: bool = False) -> Estimate:
    """The mean, with an interval that allows for likeness within clusters.

    Standard error: the linearised ratio of cluster sums, G/(G-1)-corrected (cluster-robust; E. Miller, arXiv 2411.00640),
    with Student's t of G-1 degrees. Of a `share`, whose values lie between 0 and 1: Wilson's interval at the number of
    independent observations that would give that standard error; it stays inside [0, 1], and does not shrink to a point
    when all agree.
    """
    from scipy.stats import t as student

    if not len(values):
        return NOTHING
    sums = _per_cluster(clusters, values)
    n, count = len(values), len(sums)
    mean = float(sums[:, 0].sum() / n)
    deviations = sums[:, 0] - mean * sums[:, 1]
    error = math.sqrt(float(deviations @ deviations) * count / (count - 1)) / n if count > 1 else math.inf
    if share:
        spread = mean * (1 - mean)
        # When all agree there is no spread to measure, and each cluster may be one observation only.
        independent = min(n, spread / error**2) if spread > 0 and 0 < error < math.inf else count
        return Estimate(mean, *_wilson(mean, independent), n, count)
    half = float(student.ppf(0.975, count - 1)) * error if count > 1 else math.inf
    return Estimate(mean, mean - half, mean + half, n, count)


def _resampled(sums: Floats, seed: int, draws: int) -> Floats:
    """Totals of each column in each draw of as many clusters with replacement, `(draws, columns)`."""
    return np.concatenate([times @ sums for times in _resamples(len(sums), seed, draws)])


def _resamples(count: int, seed: int, draws: int) -> Iterable[NDArray[np.int64]]:
    """How often each of `count` clusters is in each draw, `(some draws, count)` at a time."""
    return _kept_resamples(count, seed, draws) if count <= _KEPT_CLUSTERS else _drawn(count, seed, draws)


@lru_cache(maxsize=2)
def _kept_resamples(count: int, seed: int, draws: int) -> list[NDArray[np.int64]]:
    """One report asks for the same draws dozens of times, and they take most of its time."""
    return list(_drawn(count, seed, draws))


def _drawn(count: int, seed: int, draws: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    even = np.full(count, 1 / count)
    for done in range(0, draws, _DRAWS_AT_ONCE):
        yield rng.multinomial(count, even, size=min(_DRAWS_AT_ONCE, draws - done))


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two paired means, the second minus the first."""

    estimate: Estimate
    p: float
    """Two-sided, of no difference; NaN without data."""


def paired_bootstrap(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[Hashable], *, seed: int = 0, draws: int = DRAWS
) -> Difference:
    """`second - first` on the same rows: percentile interval, and p from the draws centred on no difference."""
    if not len(first):
        return Difference(NOTHING, math.nan)
    deltas = np.subtract(second, first, dtype=np.float64)
    sums = _per_cluster(clusters, deltas.tolist())
    value = float(deltas.mean())
    if not deltas.any():
        return Difference(Estimate(0.0, 0.0, 0.0, len(first), len(sums)), 1.0)
    if len(sums) == 1:
        return Difference(Estimate(value, -math.inf, math.inf, len(first), 1), math.nan)
    totals = _resampled(sums, seed, draws)
    means = totals[:, 0] / totals[:, 1]
    low, high = np.quantile(means, (0.025, 0.975))
    extreme = np.count_nonzero(np.abs(means - value) >= abs(value) - 1e-12)
    # Counting the data themselves as one draw keeps p above 0 (Davison & Hinkley 1997, 4.2).
    p = (1 + int(extreme)) / (1 + draws)
    return Difference(Estimate(value, float(low), float(high), len(first), len(sums)), p)


def ratio_bootstrap(
    over: Sequence[float], under: Sequence[float], clusters: Sequence[Hashable], *, seed: int = 0, draws: int = DRAWS
) -> Estimate:
    """`mean(over) / mean(under)` with a percentile interval over clusters.

    NaN where the data's own denominator is not positive. A draw whose denominator is not positive says nothing that
    limits the ratio: it counts as both infinities, so that an unsure denominator gives an interval without a bound.
    """
    if not len(over):
        return NOTHING
    sums = _per_cluster(clusters, over, under)
    total = sums.sum(axis=0)
    if total[1] <= 0:
        return Estimate(math.nan, math.nan, math.nan, len(over), len(sums))
    totals = _resampled(sums, seed, draws)
    bounded = totals[:, 1] > 0
    ratios = totals[:, 0] / np.where(bounded, totals[:, 1], 1)
    # "lower"/"higher" pick a draw: to interpolate with an infinite one would give NaN.
    low = np.quantile(np.where(bounded, ratios, -math.inf), 0.025, method="lower")
    high = np.quantile(np.where(bounded, ratios, math.inf), 0.975, method="higher")
    return Estimate(float(total[0] / total[1]), float(low), float(high), len(over), len(sums))


def auroc_bootstrap(
    scores: Sequence[float],
    labels: Sequence[bool],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    draws: int = DRAWS,
) -> Estimate:
    """The chance that a positive scores above a negative, ties counting half, with a percentile interval over clusters.

    A draw that lacks one of the two kinds is left out; there must be one of each in the data.
    """
    values, ranks = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    order = np.argsort(ranks, kind="stable")
    starts = np.searchsorted(ranks[order], np.arange(len(values)))
    places: dict[Hashable, int] = {}
    index = np.array([places.setdefault(cluster, len(places)) for cluster in clusters], dtype=np.intp)[order]
    positive = np.asarray(labels, dtype=np.float64)[order]

    def areas(times: NDArray[Any]) -> Floats:
        weights = times[:, index]
        hits, misses = (np.add.reduceat(weights * kind, starts, axis=1) for kind in (positive, 1 - positive))
        won = (hits * (np.cumsum(misses, axis=1) - misses / 2)).sum(axis=1)
        pairs = hits.sum(axis=1) * misses.sum(axis=1)
        return np.asarray(won[pairs > 0] / pairs[pairs > 0], dtype=np.float64)

    drawn = np.concatenate([areas(times) for times in _resamples(len(places), seed, draws)])
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(places) > 1 else (-math.inf, math.inf)
    value = float(areas(np.ones((1, len(places))))[0])
    return Estimate(value, float(low), float(high), len(scores), len(places))


def pass_hat_k(passed: int, trials: int, k: int) -> float:
    """The chance that `k` of these trials, drawn without replacement, all passed (tau-bench, arXiv 2406.12045)."""
    if not 0 < k <= trials:
        raise ValueError(f"pass^{k} needs at least {k} trials and k > 0, there are {trials}")
    return math.comb(passed, k) / math.comb(trials, k)


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Cohen's kappa: agreement of two raters beyond chance (J. Cohen 1960); NaN where chance alone agrees fully."""
    pairs = list(zip(first, second, strict=True))
    if not pairs:
        return math.nan
    n = len(pairs)
    agree = sum(a == b for a, b in pairs) / n
    labels = {label for pair in pairs for label in pair}
    chance = sum(sum(a == x for a, _ in pairs) * sum(b == x for _, b in pairs) for x in labels) / n**2
    return (agree - chance) / (1 - chance) if chance < 1 else math.nan
