"""Does a model ask where it should? Read from its predictions on held-out rows, with no generation, at any scale.

A place is where an ask may begin: the first of the model's own tokens behind the prompt, a response or a line's end.
`recall`: of the places where the row asks, those where `<asking>` is the likeliest token; `false_alarms`: the same of
the places where the row does not; `auroc`: of the probability of `<asking>`, rows' asks against the other places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from pir_serve.markup import TAGS
from pir_serve.uncertainty import auroc

IGNORED = -100

Place = tuple[bool, float, bool]
"""Whether the row asks here, the log-probability of `<asking>`, and whether it is the likeliest token."""


def line_ends(tokenizer: Tokenizer, size: int) -> Tensor:
    """(size,) bool: which tokens end with a new line."""
    ends = torch.zeros(size, dtype=torch.bool)
    for token in range(min(size, tokenizer.get_vocab_size())):
        ends[token] = tokenizer.decode([token], skip_special_tokens=False).endswith("\n")
    return ends


def is_place(input_ids: Tensor, labels: Tensor, ends: Tensor, ask_id: int) -> Tensor:
    """(B, T - 1) bool: whether the token after each may be an ask's first."""
    own = labels[:, 1:] != IGNORED
    after_other = labels[:, :-1] == IGNORED
    return own & (after_other | ends.to(input_ids.device)[input_ids[:, :-1]] | (labels[:, 1:] == ask_id))


@torch.no_grad()
def places(model: Any, batches: Iterable[dict[str, Tensor]], ends: Tensor, ask_id: int) -> list[Place]:
    """Of all batches (`input_ids`, `labels`: (B, T)); the model is put back into the mode it was in."""
    was_training = model.training
    model.eval()
    found: list[Place] = []
    for batch in batches:
        inputs = {k: v for k, v in batch.items() if k != "labels"}
        where = is_place(batch["input_ids"], batch["labels"], ends, ask_id)
        logits = model(**inputs).logits[:, :-1][where].float()  # (places, V)
        asks = (batch["labels"][:, 1:][where] == ask_id).tolist()
        scores = logits.log_softmax(-1)[:, ask_id].tolist()
        chosen = (logits.argmax(-1) == ask_id).tolist()
        found += list(zip(asks, scores, chosen, strict=True))
    model.train(was_training)
    return found


def metrics(found: Sequence[Place]) -> dict[str, float]:
    """Only what can be said: without an ask, or without a place that has none, there is no AUROC."""
    asks = [chosen for asks, _, chosen in found if asks]
    others = [chosen for asks, _, chosen in found if not asks]
    out: dict[str, float] = {"asks": len(asks), "places": len(found)}
    if asks:
        out["recall"] = sum(asks) / len(asks)
        out["mean_probability"] = sum(math.exp(score) for a, score, _ in found if a) / len(asks)
    if others:
        out["false_alarms"] = sum(others) / len(others)
    if asks and others:
        out["auroc"] = auroc([score for _, score, _ in found], [a for a, _, _ in found])
    return out


def ask_id(tokenizer: Tokenizer) -> int:
    token = tokenizer.token_to_id(TAGS.ask_open)
    assert token is not None, "SFT starts from a tokenizer that has the tags"
    return int(token)
