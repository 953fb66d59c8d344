"""What a check is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from pir_serve.conformance.bench import Bench

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


def check(number: int, title: str, rule: str, *, mode: Mode = "both") -> Callable[[Run], Check]:
    """Makes a check of the function that tries the rule."""
    return lambda run: Check(number, title, rule, mode, run)
