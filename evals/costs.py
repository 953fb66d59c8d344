"""What a run costs: the tokens of each party, at the prices of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evals.metrics import Scored
from evals.rows import Transcript

PARTIES = {"model": "the model", "user": "the user simulator", "judge": "the judge"}


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens that go in and come out, in one currency; None: not told, and no cost is shown."""

    model_in: float | None = None
    model_out: float | None = None
    user_in: float | None = None
    user_out: float | None = None
    judge_in: float | None = None
    judge_out: float | None = None

    def __bool__(self) -> bool:
        return bool(self.to_json())

    def to_json(self) -> dict[str, float]:
        return {name: price for name, price in dataclasses.asdict(self).items() if price is not None}

    def cost(self, party: str, tokens_in: int, tokens_out: int) -> float | None:
        """None without a price of this party; of one price alone the other counts nothing."""
        prices = (getattr(self, f"{party}_in"), getattr(self, f"{party}_out"))
        if prices == (None, None):
            return None
        return ((prices[0] or 0) * tokens_in + (prices[1] or 0) * tokens_out) / 1e6

    def so_far(self, transcript: Transcript) -> float:
        """Of a conversation as it is played, before anything is judged."""
        return sum(self.cost(party, *tokens) or 0 for party, tokens in _played(transcript).items())


@dataclass(frozen=True, slots=True)
class Bill:
    """Of one party, for all of a run or a task."""

    tokens_in: int
    tokens_out: int
    cost: float | None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def bills(scored: Iterable[Scored], prices: Prices) -> dict[str, Bill]:
    """By party, of those that used tokens."""
    totals = dict.fromkeys(PARTIES, (0, 0))
    for one in scored:
        for party, (went_in, came_out) in (_played(one.transcript) | {"judge": _judged(one)}).items():
            totals[party] = (totals[party][0] + went_in, totals[party][1] + came_out)
    return {party: Bill(*tokens, cost=prices.cost(party, *tokens)) for party, tokens in totals.items() if any(tokens)}


def total_cost(found: Mapping[str, Bill]) -> float | None:
    """None without any price."""
    costs = [bill.cost for bill in found.values() if bill.cost is not None]
    return sum(costs) if costs else None


def _played(transcript: Transcript) -> dict[str, tuple[int, int]]:
    """Tokens in and out."""
    user_in = transcript.simulator_prompt_tokens
    return {
        "model": (transcript.prompt_tokens, transcript.model_tokens),
        "user": (user_in, transcript.simulator_tokens - user_in),
    }


def _judged(one: Scored) -> tuple[int, int]:
    tokens_in = int(one.grade.detail.get("judge_prompt_tokens", 0)) + sum(ask.spent.prompt_tokens for ask in one.asks)
    return tokens_in, one.judge_tokens - tokens_in
