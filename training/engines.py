"""Sampling from weights that are still being trained: an engine in the trainer's own process and thread.

It is the local engine's scheduler without its worker thread: legs step whenever the event loop comes round, so that
simulators that wait for a network go on beside it, and a run is the same each time. Larger models are sampled over HTTP
from vLLM by the adapters of `pir_serve.engines`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from pir_serve.engines.base import LegRequest, TokenChunk
from pir_serve.engines.decoder import Decoder, DecoderConfig
from pir_serve.engines.legs import Leg
from pir_serve.engines.local import join_chunks
from pir_serve.engines.scheduler import Scheduler
from pir_serve.errors import ContextLengthExceeded, EngineUnavailable

log = logging.getLogger(__name__)

_WHOLE_LEG = 1 << 30
"""Tokens a chunk: nobody reads a rollout as it is written."""


class InProcessEngine:
    """Decodes all legs in flight together, in the caller's thread; a leg that has ended frees its slot at once."""

    name = "in process"

    def __init__(self, model_dir: Path, *, slots: int = 64, prefill_tokens: int = 2048) -> None:
        """Args:
        model_dir: folder with config.json and tokenizer.json; its weights are read only by `load_from`.
        slots: legs decoded together; a trajectory whose user is being asked holds none.
        prefill_tokens: most prompt tokens read between two decoding steps.

        Raises:
            ConfigError: no checkpoint of a family that the decoder computes.
        """
        self.config = DecoderConfig.load(model_dir)
        self.max_model_len = self.config.max_len
        self._tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self._limits = {"max_batch": slots, "prefill_tokens": prefill_tokens, "cache_tokens": 512 * slots}
        self._scheduler: Scheduler | None = None
        self._driver: asyncio.Task[None] | None = None
        self._legs: dict[Leg, tuple[asyncio.Future[TokenChunk], list[TokenChunk]]] = {}
        self.busy_s = 0.0
        """Wall seconds spent decoding since the last `load`."""

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Sample from these weights (transformers' names) from now on; nothing of earlier ones is remembered."""
        assert not self._legs, "weights change between rollouts, not under them"
        with torch.no_grad():
            self._scheduler = Scheduler(Decoder(self.config, dict(weights)), **self._limits)
        self.busy_s = 0.0

    def load_from(self, model_dir: Path) -> None:
        with torch.no_grad():
            self._scheduler = Scheduler(Decoder.load(model_dir), **self._limits)
        self.busy_s = 0.0

    async def start(self) -> None: ...

    async def healthy(self) -> bool:
        return self._scheduler is not None

    async def aclose(self) -> None: ...

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        """See `Engine.generate`; the whole leg comes as one chunk. Raises: ContextLengthExceeded."""
        if self._scheduler is None:
            raise EngineUnavailable("no weights have been loaded")
        room = self.max_model_len - len(request.prompt_ids)
        if room < 1:
            raise ContextLengthExceeded(f"{len(request.prompt_ids)} prompt tokens leave no room")
        request = replace(request, stream_interval=_WHOLE_LEG)
        eos_ids = frozenset(self.config.eos_ids)
        leg = Leg(request, self._tokenizer, eos_ids=eos_ids, max_tokens=min(room, request.max_tokens))
        done: asyncio.Future[TokenChunk] = asyncio.get_running_loop().create_future()
        self._legs[leg] = (done, [])
        self._scheduler.add(leg)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive(self._scheduler))
        try:
            yield await done
        finally:
            leg.is_cancelled = leg.finish_reason is None
            self._legs.pop(leg, None)

    async def _drive(self, scheduler: Scheduler) -> None:
        """Step while there are legs, letting others run in between."""
        clock = asyncio.get_running_loop().time
        try:
            while self._legs:
                started = clock()
                with torch.inference_mode():
                    due = scheduler.step()
                self.busy_s += clock() - started
                for leg, chunk in due:
                    self._take(leg, chunk)
                await asyncio.sleep(0)
        except Exception as error:
            for done, _ in self._legs.values():
                if not done.done():
                    done.set_exception(EngineUnavailable(f"decoding failed: {error}"))
            log.exception("decoding failed; %d legs are lost", len(self._legs))

    def _take(self, leg: Leg, chunk: TokenChunk) -> None:
        if leg not in self._legs:
            return
        done, chunks = self._legs[leg]
        chunks.append(chunk)
        if chunk.finish_reason is not None and not done.done():
            done.set_result(join_chunks(chunks))
