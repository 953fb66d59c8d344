"""A small checkpoint as transformers computes it, and a whole leg of the local engine over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from pir_serve.engines.base import LegRequest, TokenChunk
from pir_serve.engines.local import LocalEngine
from tests.engines.tiny_checkpoint import corpus


@dataclass
class Checkpoint:
    directory: Path
    model: Any
    tokenizer: Tokenizer

    def prompt(self, k: int, num: int = 40) -> list[int]:
        ids: list[int] = self.tokenizer.encode(" ".join(corpus(12, seed=k))).ids[:num]
        return ids

    def greedy(self, prompt: list[int], num: int) -> tuple[list[int], list[float]]:
        """Greedy ids and their log-probabilities from transformers, past any EOS."""
        import torch

        ids, logprobs = list(prompt), []
        with torch.no_grad():
            for _ in range(num):
                row = self.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
                ids.append(int(row.argmax()))
                logprobs.append(float(row.max()))
        return ids[len(prompt) :], logprobs


async def collect(engine: LocalEngine, request: LegRequest) -> TokenChunk:
    """The whole leg as one chunk; checks what holds for every leg."""
    chunks = [chunk async for chunk in engine.generate(request)]
    assert [c.finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    ids = tuple(i for c in chunks for i in c.token_ids)
    logprobs = tuple(p for c in chunks for p in c.logprobs)
    usage = chunks[-1].usage
    assert usage is not None and usage.completion_tokens == len(ids)
    assert len(logprobs) == (len(ids) if request.logprobs else 0)
    return TokenChunk(ids, "".join(c.text for c in chunks), logprobs, chunks[-1].finish_reason, usage)
