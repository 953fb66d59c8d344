"""What a check is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from pir_serve.conformance.bench import Bench
from pir_serve.conformance.surface import Carrier, Surface, Trait

Mode = Literal["both", "whole", "stream"]
Run = Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the contract and how it is tried."""

    number: int
    title: str
    rule: str
    """What a gateway must do."""
    mode: Mode
    """In which replies the rule can be seen."""
    run: Run
    """Raises: Violation, NotTestable."""
    on: Trait | Carrier | None = None
    """What a surface must have for the rule to make sense there; None: nothing."""

    def applies(self, surface: Surface) -> bool:
        return self.on is None or self.on in surface.traits or self.on in surface.carriers


def check(
    number: int, title: str, rule: str, *, mode: Mode = "both", on: Trait | Carrier | None = None
) -> Callable[[Run], Check]:
    """Makes a check of the function that tries the rule."""
    return lambda run: Check(number, title, rule, mode, run, on)
