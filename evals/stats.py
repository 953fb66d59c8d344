"""Intervals for shares. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

Z95 = 1.959963984540054


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
        if not self.n:
            return (math.nan, math.nan)
        p, n, z2 = self.hits / self.n, self.n, Z95 * Z95
        centre = p + z2 / (2 * n)
        half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        scale = 1 + z2 / n
        return (max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale))

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
