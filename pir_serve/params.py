"""What a request decides about its run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from pir_serve.engines.base import SamplingParams
from pir_serve.policy import AskPolicy, Gate
from pir_serve.screen import Screening


@dataclass(frozen=True, slots=True)
class RunParams:
    """Of one run."""

    policy: AskPolicy = field(default_factory=AskPolicy)
    sampling: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None
    """Budget over all tokens that the model writes in this run; None: what the context holds."""
    stop: tuple[str, ...] = ()
    """The user's stop strings: they end the visible answer and are not part of it."""
    uncertainty: bool = False
    """Whether reasoning steps are scored as they stream."""
    max_asks: int = 16
    """Loop guard over asks of the trajectory, whoever answers them."""
    auto_response: str = "Use your best judgment."
    screen: Screening | None = None
    """Sees each question before the user does; None lets all through."""
    gate: Gate | None = None
    """Turns uncertain steps into asks; needs an engine that tells log-probabilities."""
    mends_markup: bool = False
    """Whether what an untrained model gets wrong in the markup is mended (`pir_serve.mending`)."""
    request_id: str = ""
    tenant: str = ""


def leg_seed(seed: int | None, leg: int) -> int | None:
    """The seed of a trajectory's leg: the request's own for the first, then numbers derived from it.

    One seed for all legs would make each leg draw the same random numbers.
    """
    if seed is None or leg == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}:{leg}".encode()).digest()[:4]) & 0x7FFF_FFFF
