"""What a check is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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
    on: frozenset[Trait | Carrier] = frozenset()
    """What a surface must have for the rule to make sense there."""

    def applies(self, surface: Surface) -> bool:
        """Whether any of its replies can be looked at for it."""
        seen = self.mode == "both" or (self.mode == "stream") in surface.streams
        return seen and self.on <= surface.traits | set(surface.carriers)


def check(
    number: int, title: str, rule: str, *, mode: Mode = "both", on: Trait | Carrier | Sequence[Trait | Carrier] = ()
) -> Callable[[Run], Check]:
    """Makes a check of the function that tries the rule."""
    needed = frozenset([on] if isinstance(on, str) else on)
    return lambda run: Check(number, title, rule, mode, run, needed)
