"""The log-probabilities of a model's own traces: from its weights through transformers, or from a server's logprobs.

Both sample a trace where there is none yet. A trace that is given is scored as it stands: by the weights in one forward
pass, by a server where it can echo a prompt's log-probabilities (vLLM and other /v1/completions with `echo`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import openai

from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS
from pir_serve.prompt import Message, PromptCodec
from pir_serve.uncertainty import Step, StepScorer, steps_from_chat
from training.traces import Item, ScoredTrace


class ScoreError(Exception):
    """A trace could not be scored; the others can."""


class Scorer(Protocol):
    async def score(self, item: Item) -> ScoredTrace:
        """Raises: ScoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """Of traces that are not there yet."""

    temperature: float = 0.6
    max_tokens: int = 2048
    seed: int = 1


def steps_of(codec: PromptCodec, ids: Sequence[int], logprobs: Sequence[float | None]) -> tuple[str, tuple[Step, ...]]:
    """Text and steps of a trace given as ids with natural log-probabilities, up to the end of the reasoning."""
    scorer = StepScorer(codec.incremental().feed)
    steps = tuple(scorer.feed("", ids, logprobs) + scorer.finish())
    return codec.decode(ids), steps


def prompt_ids(codec: PromptCodec, item: Item) -> list[int]:
    messages = [Message(m["role"], m["content"]) for m in item.messages]
    return [i for segment in codec.encode_prompt(messages) for i in segment.token_ids]


def _parts(text: str) -> tuple[str, str]:
    thought, _, answer = text.partition(TAGS.think_close)
    return thought, answer.strip()


class WeightsScorer:
    """A checkpoint folder, in this process."""

    def __init__(self, model: str, codec: PromptCodec, sampling: Sampling, *, dtype: str = "float32") -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self._torch = torch
        self._codec, self._sampling = codec, sampling
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype)).to(device).eval()
        self._about = {"model": model, "dtype": dtype, "by": "weights"}

    async def score(self, item: Item) -> ScoredTrace:
        before = prompt_ids(self._codec, item)
        ids = self._sample(before, item) if item.trace is None else list(self._codec.encode_model(item.trace).token_ids)
        if not ids:
            raise ScoreError("an empty trace")
        text, steps = steps_of(self._codec, ids, self._logprobs(before, ids))
        thought, answer = _parts(text)
        return ScoredTrace(item, thought, answer or item.answer, steps, self._about)

    def _logprobs(self, before: list[int], ids: list[int]) -> list[float]:
        torch = self._torch
        with torch.inference_mode():
            whole = torch.tensor([before + ids], device=self._model.device)
            # All but the logits of the trace are left out: a long prompt's would be gigabytes.
            logits = self._model(whole, logits_to_keep=len(ids) + 1).logits[0, :-1].float()
            chosen = torch.tensor(ids, device=logits.device).unsqueeze(-1)
            scores: list[float] = logits.log_softmax(-1).gather(-1, chosen).squeeze(-1).tolist()
        return scores

    def _sample(self, before: list[int], item: Item) -> list[int]:
        torch, s = self._torch, self._sampling
        torch.manual_seed(hash_seed(s.seed, item.id))
        sampling: dict[str, Any] = {"do_sample": s.temperature > 0, "max_new_tokens": s.max_tokens}
        if s.temperature > 0:
            sampling |= {"temperature": s.temperature, "top_p": 1.0, "top_k": 0}
        given = torch.tensor([before], device=self._model.device)
        with torch.inference_mode():
            out = self._model.generate(given, attention_mask=torch.ones_like(given), **sampling)
        return list(out[0, len(before) :].tolist())


@dataclass
class ServerScorer:
    """Any OpenAI-compatible server that returns log-probabilities."""

    base_url: str
    model: str
    sampling: Sampling
    codec: PromptCodec | None = None
    """Of the served model; needed for traces that are given."""
    api_key: str = "none"
    timeout_s: float = 600.0
    _client: openai.AsyncOpenAI = field(init=False, repr=False)

    def __post_init__(self) -> None:
        options: dict[str, Any] = {"timeout": self.timeout_s, "max_retries": 5}
        self._client = openai.AsyncOpenAI(base_url=self.base_url, api_key=self.api_key, **options)

    async def score(self, item: Item) -> ScoredTrace:
        about = {"model": self.model, "by": "logprobs of a server"}
        try:
            if item.trace is None:
                text, steps = await self._sampled(item)
            else:
                text, steps = await self._given(item)
        except openai.OpenAIError as error:
            raise ScoreError(f"{self.base_url}: {error}") from error
        thought, answer = _parts(text)
        return ScoredTrace(item, thought, answer or item.answer, steps, about)

    async def _sampled(self, item: Item) -> tuple[str, tuple[Step, ...]]:
        reply = await self._client.chat.completions.create(
            model=self.model,
            messages=[dict(m) for m in item.messages],  # type: ignore[misc]  # plain dicts of the right shape
            logprobs=True,
            temperature=self.sampling.temperature,
            max_tokens=self.sampling.max_tokens,
            seed=hash_seed(self.sampling.seed, item.id),
        )
        logprobs = reply.choices[0].logprobs if reply.choices else None
        if logprobs is None or not logprobs.content:
            raise ScoreError("the server returns no log-probabilities")
        entries: list[Mapping[str, Any]] = [entry.model_dump() for entry in logprobs.content]
        raw = b"".join(bytes(e["bytes"]) if e["bytes"] is not None else e["token"].encode() for e in entries)
        return raw.decode(errors="replace"), tuple(steps_from_chat(entries))

    async def _given(self, item: Item) -> tuple[str, tuple[Step, ...]]:
        if self.codec is None:
            raise ConfigError("traces that are given need `tokenizer`: the folder of the served model's tokenizer")
        before = prompt_ids(self.codec, item)
        ids = list(self.codec.encode_model(item.trace or "").token_ids)
        reply = await self._client.completions.create(
            model=self.model, prompt=before + ids, max_tokens=1, temperature=0.0, logprobs=1, echo=True
        )
        scores = reply.choices[0].logprobs.token_logprobs if reply.choices and reply.choices[0].logprobs else None
        if not scores or len(scores) < len(before) + len(ids):
            raise ScoreError("the server does not echo a prompt's log-probabilities; score from the weights instead")
        return steps_of(self.codec, ids, scores[len(before) : len(before) + len(ids)])


def hash_seed(seed: int, name: str) -> int:
    """A seed of a row's own, the same for the same row."""
    import hashlib

    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4]) & 0x7FFF_FFFF
