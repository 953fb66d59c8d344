"""The next token of each row of a batch, and its log-probability under the model's own distribution.

A row's draw depends on its logits, its parameters and its own random numbers alone, never on which other rows share the
batch: rows are grouped by what must be computed for them, and each carries its own generator.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from pir_serve.engines.base import SamplingParams

_SHORT_LIST = 64
"""Likeliest tokens tried first for top_p and top_k; rows whose kept tokens are more are sorted in full."""

_MAX_DRAW = 1.0 - 2.0**-20
"""Keeps draw * total below total in float32, so that a draw never falls behind the last token."""


class RowSampler:
    """What one leg carries from token to token."""

    def __init__(self, params: SamplingParams) -> None:
        self.params = params
        self._random = random.Random(params.seed)
        self.is_greedy = params.temperature < 1e-5
        self.is_filtered = not self.is_greedy and (params.top_p < 1.0 or bool(params.top_k and params.top_k > 0))
        self.has_penalties = params.frequency_penalty != 0.0 or params.presence_penalty != 0.0
        self.counts: Counter[int] = Counter()

    def draw(self) -> float:
        return min(self._random.random(), _MAX_DRAW)

    def saw(self, token: int) -> None:
        if self.has_penalties:
            self.counts[token] += 1


def sample(logits: Tensor, rows: Sequence[RowSampler], *, logprobs: bool = True) -> tuple[list[int], list[float]]:
    """One token for each row of `logits` (R, vocab), and (unless not wanted) the natural log-probability of each.

    Log-probabilities are of the raw distribution, before temperature, penalties, top_p and top_k, as vLLM gives them.
    """
    chosen = _choose(logits, rows)
    for row, token in zip(rows, chosen, strict=True):
        row.saw(token)
    if not logprobs:
        return chosen, []
    picked = logits.gather(1, torch.tensor(chosen).unsqueeze(1)).squeeze(1)
    values: list[float] = (picked - logits.logsumexp(dim=-1)).tolist()
    return chosen, values


def _choose(logits: Tensor, rows: Sequence[RowSampler]) -> list[int]:
    adjusted = _penalise(logits, rows)
    if all(row.is_greedy for row in rows):
        best: list[int] = adjusted.argmax(dim=-1).tolist()
        return best
    chosen = [0] * len(rows)
    greedy = [i for i, row in enumerate(rows) if row.is_greedy]
    plain = [i for i, row in enumerate(rows) if not row.is_greedy and not row.is_filtered]
    filtered = [i for i, row in enumerate(rows) if row.is_filtered]
    for members, pick in ((greedy, _greedy), (plain, _plain), (filtered, _filtered)):
        if members:
            part = adjusted if len(members) == len(rows) else adjusted[torch.tensor(members)]
            for i, token in zip(members, pick(part, [rows[i] for i in members]), strict=True):
                chosen[i] = token
    return chosen


def _penalise(logits: Tensor, rows: Sequence[RowSampler]) -> Tensor:
    """OpenAI's frequency and presence penalties over what the leg has generated so far."""
    if not any(row.counts for row in rows):
        return logits
    logits = logits.clone()
    for i, row in enumerate(rows):
        if row.counts:
            ids, counts = torch.tensor(list(row.counts)), torch.tensor(list(row.counts.values()), dtype=torch.float32)
            logits[i, ids] -= row.params.frequency_penalty * counts + row.params.presence_penalty
    return logits


def _greedy(logits: Tensor, rows: Sequence[RowSampler]) -> list[int]:
    best: list[int] = logits.argmax(dim=-1).tolist()
    return best


def _probabilities(logits: Tensor, rows: Sequence[RowSampler]) -> Tensor:
    temperatures = torch.tensor([row.params.temperature for row in rows]).unsqueeze(1)
    return (logits / temperatures).softmax(dim=-1)


def _draws(rows: Sequence[RowSampler]) -> Tensor:
    return torch.tensor([row.draw() for row in rows]).unsqueeze(1)


def _plain(logits: Tensor, rows: Sequence[RowSampler]) -> list[int]:
    cumulative = _probabilities(logits, rows).cumsum(dim=-1)
    places = torch.searchsorted(cumulative, _draws(rows) * cumulative[:, -1:], right=True)
    chosen: list[int] = places.squeeze(1).tolist()
    return chosen


def _filtered(logits: Tensor, rows: Sequence[RowSampler]) -> list[int]:
    """Draw among what top_k (the k likeliest) and then top_p (the fewest likeliest with that share) keep."""
    probabilities = _probabilities(logits, rows)
    vocab = probabilities.shape[1]
    draws = _draws(rows)
    top_ks = [row.params.top_k or 0 for row in rows]
    limits = torch.tensor([k if k > 0 else vocab for k in top_ks]).unsqueeze(1)
    shares = torch.tensor([row.params.top_p for row in rows]).unsqueeze(1)
    values, ids = probabilities.topk(min(_SHORT_LIST, vocab), dim=-1)
    chosen, is_enough = _draw_kept(values, ids, draws, limits, shares)
    if values.shape[1] < vocab and not all(is_enough):
        late = torch.tensor([i for i, enough in enumerate(is_enough) if not enough])
        values, ids = probabilities[late].sort(dim=-1, descending=True, stable=True)
        redone, _ = _draw_kept(values, ids, draws[late], limits[late], shares[late])
        for i, token in zip(late.tolist(), redone, strict=True):
            chosen[i] = token
    return chosen


def _draw_kept(
    values: Tensor, ids: Tensor, draws: Tensor, limits: Tensor, shares: Tensor
) -> tuple[list[int], list[bool]]:
    """Draw from the kept head of each descending row; and whether the list was long enough to hold all that is kept."""
    width = values.shape[1]
    before = values.cumsum(dim=-1) - values
    # top_p's share is of what top_k left, as in vLLM.
    of_top_k = torch.where(torch.arange(width) < limits, values, 0.0).sum(dim=-1, keepdim=True).clamp(max=1.0)
    in_top_k = limits <= width
    reached = torch.where(in_top_k, of_top_k, 1.0)
    kept = (before < shares * reached) & (torch.arange(width) < limits)
    cumulative = torch.where(kept, values, 0.0).cumsum(dim=-1)
    places = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True).clamp(max=width - 1)
    is_enough = (in_top_k | (before[:, -1:] + values[:, -1:] >= shares)).squeeze(1)
    chosen: list[int] = ids.gather(1, places).squeeze(1).tolist()
    enough: list[bool] = is_enough.tolist()
    return chosen, enough
