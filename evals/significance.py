"""Is a difference one? Tests on paired rows, their correction for many tasks, and what so many rows could have shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class McNemar:
    """The exact test on the rows where two runs differ (Q. McNemar 1947)."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Whether the second is right more or less often than the first on the same rows."""
    from scipy.stats import binomtest

    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    differ = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, differ).pvalue) if differ else 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number, in their order (S. Holm 1979). NaN is no test and stays NaN."""
    tested = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, floor = list(p_values), 0.0
    for rank, (p, place) in enumerate(tested):
        floor = max(floor, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = floor
    return adjusted


def minimum_detectable_effect(n: int, discordant: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The least difference of two shares that a paired test on `n` rows finds with this power.

    `discordant`: the share of rows on which the two differ. From the sample size of McNemar's test (R. J. Connor 1987),
    solved for the difference; NaN where not even a difference on all of those rows would be found.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z_alpha, z_power = norm.ppf(1 - alpha / 2), norm.ppf(power)

    def lacking(effect: float) -> float:
        return float(
            z_alpha * math.sqrt(discordant)
            + z_power * math.sqrt(max(0.0, discordant - effect**2))
            - effect * math.sqrt(n)
        )

    if not n or not discordant or lacking(discordant) > 0:
        return math.nan
    return float(brentq(lacking, 0, discordant))
