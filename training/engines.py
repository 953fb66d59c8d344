"""Sampling from weights that are still being trained: engines in the trainer's own process and thread.

Legs step whenever the event loop comes round, so that simulators that wait for a network go on beside it. `InProcessEngine` is
the local engine's scheduler without its worker thread, and gives the same run each time; `ColocateEngine` steps a vLLM that
TRL has made on the trainer's own GPU. vLLM over HTTP is sampled by the adapters of `pir_serve.engines`.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Hashable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from pir_serve.engines.base import LegRequest, TokenChunk, Usage
from pir_serve.engines.decoder import Decoder, DecoderConfig
from pir_serve.engines.legs import Leg
from pir_serve.engines.local import join_chunks
from pir_serve.engines.scheduler import Scheduler
from pir_serve.errors import ContextLengthExceeded, EngineUnavailable

log = logging.getLogger(__name__)

_WHOLE_LEG = 1 << 30
"""Tokens a chunk: nobody reads a rollout as it is written."""


class Stepped(ABC):
    """Legs that are decoded together, step by step, in the caller's thread, for as long as there are any."""

    name: str
    max_model_len: int

    def __init__(self) -> None:
        self._due: dict[Hashable, asyncio.Future[TokenChunk]] = {}
        self._driver: asyncio.Task[None] | None = None
        self.busy_s = 0.0
        """Wall seconds spent decoding, for whoever sets it to 0."""

    async def start(self) -> None:  # noqa: B027  # there is nothing to connect to, nor to let go of
        pass

    async def aclose(self) -> None:  # noqa: B027
        pass

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        """See `Engine.generate`; the whole leg comes as one chunk. Raises: EngineUnavailable, ContextLengthExceeded."""
        if not await self.healthy():
            raise EngineUnavailable("no weights have been loaded")
        room = self.max_model_len - len(request.prompt_ids)
        if room < 1:
            raise ContextLengthExceeded(f"{len(request.prompt_ids)} prompt tokens leave no room")
        leg = self._add(replace(request, max_tokens=min(room, request.max_tokens), stream_interval=_WHOLE_LEG))
        done = self._due[leg] = asyncio.get_running_loop().create_future()
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        try:
            yield await done
        finally:
            del self._due[leg]
            if done.cancelled():
                self._abort(leg)

    @abstractmethod
    async def healthy(self) -> bool: ...

    @abstractmethod
    def _add(self, request: LegRequest) -> Hashable:
        """Queue a leg; what `_step` will call it."""

    @abstractmethod
    def _step(self) -> Iterable[tuple[Hashable, TokenChunk]]:
        """One token for each running leg; those that ended, whole."""

    @abstractmethod
    def _abort(self, leg: Any) -> None: ...

    async def _drive(self) -> None:
        """Step while there are legs, letting others run in between."""
        clock = asyncio.get_running_loop().time
        try:
            while self._due:
                started = clock()
                ended = self._step()
                self.busy_s += clock() - started
                for leg, chunk in ended:
                    if leg in self._due and not self._due[leg].done():
                        self._due[leg].set_result(chunk)
                await asyncio.sleep(0)
        except Exception as error:
            for done in self._due.values():
                if not done.done():
                    done.set_exception(EngineUnavailable(f"decoding failed: {error}"))
            log.exception("decoding failed; %d legs are lost", len(self._due))


class InProcessEngine(Stepped):
    """Small models on a CPU; a leg that has ended frees its slot at once."""

    name = "in process"

    def __init__(self, model_dir: Path, *, slots: int = 64, prefill_tokens: int = 2048) -> None:
        """Args:
        model_dir: folder with config.json and tokenizer.json; its weights are read only by `load_from`.
        slots: legs decoded together; a trajectory whose user is being asked holds none.
        prefill_tokens: most prompt tokens read between two decoding steps.

        Raises:
            ConfigError: no checkpoint of a family that the decoder computes.
        """
        super().__init__()
        self.config = DecoderConfig.load(model_dir)
        self.max_model_len = self.config.max_len
        self._tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self._limits = {"max_batch": slots, "prefill_tokens": prefill_tokens, "cache_tokens": 512 * slots}
        self._scheduler: Scheduler | None = None
        self._chunks: dict[Leg, list[TokenChunk]] = {}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Sample from these weights (transformers' names) from now on; nothing of earlier ones is remembered."""
        assert not self._due, "weights change between rollouts, not under them"
        with torch.no_grad():
            self._scheduler = Scheduler(Decoder(self.config, dict(weights)), **self._limits)

    def load_from(self, model_dir: Path) -> None:
        with torch.no_grad():
            self._scheduler = Scheduler(Decoder.load(model_dir), **self._limits)

    async def healthy(self) -> bool:
        return self._scheduler is not None

    def _add(self, request: LegRequest) -> Leg:
        assert self._scheduler is not None
        leg = Leg(request, self._tokenizer, eos_ids=frozenset(self.config.eos_ids), max_tokens=request.max_tokens)
        self._scheduler.add(leg)
        self._chunks[leg] = []
        return leg

    def _step(self) -> Iterable[tuple[Leg, TokenChunk]]:
        assert self._scheduler is not None
        with torch.inference_mode():
            due = self._scheduler.step()
        for leg, chunk in due:
            if leg in self._chunks:
                self._chunks[leg].append(chunk)
        return [(leg, join_chunks(self._chunks.pop(leg))) for leg, chunk in due if chunk.finish_reason is not None]

    def _abort(self, leg: Leg) -> None:
        leg.is_cancelled = True
        self._chunks.pop(leg, None)


class ColocateEngine(Stepped):
    """A vLLM in the trainer's process (TRL's `vllm_mode: colocate`), stepped as requests come and go.

    Only for engines on one rank (tensor_parallel_size 1): which requests there are at a step hangs on when users reply, and
    every rank of a divided engine would have to see the same ones.
    """

    name = "vllm in process"

    def __init__(self) -> None:
        super().__init__()
        self._engine: Any = None
        self._numbers = count()

    def attach(self, llm: Any) -> None:
        """Sample from this `vllm.LLM`, whose weights TRL keeps in step."""
        self._engine = llm.llm_engine
        self.max_model_len = self._engine.model_config.max_model_len

    async def healthy(self) -> bool:
        return self._engine is not None

    def _add(self, request: LegRequest) -> str:
        from vllm import SamplingParams  # type: ignore[import-not-found]
        from vllm.sampling_params import RequestOutputKind  # type: ignore[import-not-found]

        drawn = request.sampling
        params = SamplingParams(
            temperature=drawn.temperature,
            top_p=drawn.top_p,
            top_k=drawn.top_k or 0,
            seed=drawn.seed,
            frequency_penalty=drawn.frequency_penalty,
            presence_penalty=drawn.presence_penalty,
            max_tokens=request.max_tokens,
            stop=list(request.stop),
            stop_token_ids=list(request.stop_token_ids),
            include_stop_str_in_output=True,
            skip_special_tokens=False,
            spaces_between_special_tokens=False,
            logprobs=0 if request.logprobs else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        name = f"leg-{next(self._numbers)}"  # outputs bear it; what vLLM returns here is an id of its own
        self._engine.add_request(name, {"prompt_token_ids": request.prompt_ids}, params)
        return name

    def _step(self) -> Iterable[tuple[str, TokenChunk]]:
        return [(output.request_id, _whole(output)) for output in self._engine.step() if output.finished]

    def _abort(self, leg: str) -> None:
        self._engine.abort_request([leg])


def _whole(output: Any) -> TokenChunk:
    """A finished request of vLLM's as one chunk."""
    (made,) = output.outputs
    ids = tuple(made.token_ids)
    known = made.logprobs or ()
    return TokenChunk(
        token_ids=ids,
        text=made.text,
        logprobs=tuple(place[token].logprob for place, token in zip(known, ids, strict=True)) if known else (),
        finish_reason="length" if made.finish_reason == "length" else "stop",
        usage=Usage(len(output.prompt_token_ids or ()), output.num_cached_tokens, len(ids)),
    )
