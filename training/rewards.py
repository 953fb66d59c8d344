"""One composite reward: the outcome, and a bonus for asks that were few and helpful.

As published (arXiv 2601.22139, composite reward of US-GRPO): R = S * o + S * o * 1[asked] * E * H with S = 0.5, the
outcome o, efficiency E = (N - n) / (N - 1) for n asks of at most N = 5, and the mean helpfulness H of the asks. One ask
more than none always pays there, on complete problems too; `ours` is the variant that does not pay for needless asks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, get_args

from pir_serve.markup import TAGS

Components = Literal["none", "helpfulness", "efficiency", "full", "ours"]
COMPONENTS: tuple[Components, ...] = get_args(Components)


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """Which reward. The defaults are the paper's."""

    components: Components = "full"
    """What the bonus consists of: nothing, H, E, E * H, or `ours` (see `needless_aware`)."""
    base: float = 0.5
    """S: what a right answer earns, and the most that asking adds to it."""
    max_asks: int = 5
    """N, from which on asking earns nothing."""
    ask_cost: float = 0.5
    """`ours` only: share of the bonus that each needless ask costs."""
    as_released: bool = False
    """Keep to the released code where it departs from the paper: E goes below 0 beyond N asks, and what is read as the
    final answer ends at a second `</think>`, so that such a rollout earns nothing."""

    def __post_init__(self) -> None:
        if self.components not in COMPONENTS:
            raise ValueError(f"no reward {self.components!r}; there are {', '.join(COMPONENTS)}")
        if self.max_asks < 2 or not 0 <= self.ask_cost <= 1 or self.base <= 0:
            raise ValueError("a reward needs max_asks >= 2, ask_cost in 0..1 and base > 0")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a completion's text says about its asks."""

    num_asks: int
    """Opening tags in the reasoning."""
    is_well_formed: bool
    """Tags balance, no ask is empty, and responses follow their asks at once; a last ask may lack its own."""
    final: str
    """What follows the reasoning; empty if it was never closed."""


_EXCHANGE = re.compile(
    rf"{TAGS.ask_open}(?P<ask>.*?){TAGS.ask_close}(?P<gap>\s*)(?P<response>{TAGS.response_open}.*?{TAGS.response_close})?",
    re.DOTALL,
)


def read(completion: str, *, as_released: bool = False) -> Reading:
    """The asks of a completion that starts inside its reasoning."""
    thought, *after = completion.split(TAGS.think_close)
    final = (after[0] if as_released else TAGS.think_close.join(after)) if after else ""
    exchanges = list(_EXCHANGE.finditer(thought))
    num_asks = thought.count(TAGS.ask_open)
    balanced = num_asks == thought.count(TAGS.ask_close) == len(exchanges)
    whole = all(e["ask"].strip() and TAGS.ask_open not in e["ask"] for e in exchanges)
    answered = sum(e["response"] is not None for e in exchanges)
    all_taken = answered == thought.count(TAGS.response_open) == thought.count(TAGS.response_close)
    return Reading(num_asks, bool(exchanges) and balanced and whole and all_taken and answered > 0, final)


def efficiency(num_asks: int, config: RewardConfig) -> float:
    """E: 1 at one ask, 0 at `max_asks`; below 0 beyond only where the released code is kept to."""
    value = (config.max_asks - num_asks) / (config.max_asks - 1)
    return value if config.as_released else max(0.0, value)


def bonus(reading: Reading, helpfulness: Sequence[float], config: RewardConfig) -> float:
    """What the published bonus multiplies S * o by; 0 without a well-formed ask. `helpfulness`: of each answered ask."""
    if not reading.is_well_formed or not helpfulness:
        return 0.0
    e, h = efficiency(reading.num_asks, config), fmean(helpfulness)
    return {"none": 0.0, "helpfulness": h, "efficiency": e, "full": e * h}[config.components]


def needless_aware(helpfulness: Sequence[float], *, is_complete: bool, config: RewardConfig) -> float:
    """The bonus of `ours`: whole for silence on a complete problem and for helpful asks alone on an incomplete one.

    An ask is needless by as much as its helpfulness falls short of 1, and costs `ask_cost` of the bonus for it. Asking
    again for what the user has not told yet is helpful, so patience with a difficult user costs nothing; a right guess
    without the ask that was due earns no bonus.
    """
    needless = sum(1.0 - h for h in helpfulness)
    due = 1.0 if is_complete else max(helpfulness, default=0.0)
    return due * max(0.0, 1.0 - config.ask_cost * needless)


def composite(
    outcome: float, reading: Reading, helpfulness: Sequence[float], config: RewardConfig, *, is_complete: bool = False
) -> float:
    """The reward of one rollout, in 0..2 S unless the released code is kept to.

    Args:
        outcome: 0 or 1 for a wrong or right answer; in between for graded tasks (BLEU).
        helpfulness: of each ask that was answered, in order, each 0..1.
        is_complete: whether nothing was missing; seen by `ours` only.
    """
    if not reading.final.strip():
        return 0.0
    if config.components == "ours":
        return config.base * outcome * (1.0 + needless_aware(helpfulness, is_complete=is_complete, config=config))
    return config.base * outcome * (1.0 + bonus(reading, helpfulness, config))
