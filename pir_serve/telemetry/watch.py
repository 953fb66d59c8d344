"""Legs as they pass: counted, timed and charged to who they are for, however they end."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from pir_serve.access.visit import Visit
from pir_serve.engines.base import Engine, LegRequest, TokenChunk
from pir_serve.errors import EngineError
from pir_serve.telemetry.metrics import Metrics
from pir_serve.telemetry.tracing import Attributes, end, traceparent_of


class WatchedEngine:
    """`engine` for the runs of one request."""

    def __init__(self, engine: Engine, model: str, metrics: Metrics, visit: Visit) -> None:
        self.name = engine.name
        self.max_model_len = engine.max_model_len
        self._engine = engine
        self._model = model
        self._metrics = metrics
        self._visit = visit

    async def start(self) -> None:
        await self._engine.start()

    async def healthy(self) -> bool:
        return await self._engine.healthy()

    async def aclose(self) -> None:
        await self._engine.aclose()

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        """Raises: as the engine's."""
        leg = _WatchedLeg(self._model, self._metrics)
        parent = self._visit.span
        span = None if parent is None else parent.leg(self._model, {"pir.engine": self.name})
        if trace := self._visit.trace if span is None else traceparent_of(span):
            request = replace(request, trace=trace)
        chunks = self._engine.generate(request)
        assert isinstance(chunks, AsyncGenerator)
        clock = time.perf_counter
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    num = len(chunk.token_ids)
                    if num:  # inline: this is the hot path
                        now = clock()
                        if not leg.num_tokens:
                            leg.first = leg.last = now
                        elif now - leg.last > leg.longest_gap:
                            leg.longest_gap = now - leg.last
                        leg.last = now
                        leg.num_tokens += num
                    if chunk.finish_reason is not None:
                        leg.end = chunk.finish_reason
                        leg.cached = (chunk.usage and chunk.usage.cached_tokens) or 0
                    yield chunk
        except EngineError as error:
            leg.end, leg.error = "failed", error.code or type(error).__name__
            self._metrics.upstream_errors.labels(self._model, leg.error).inc()
            raise
        finally:
            leg.conclude(len(request.prompt_ids))
            self._visit.spend(len(request.prompt_ids) + leg.num_tokens)
            if span is not None:
                end(span, leg.traced(len(request.prompt_ids)), leg.error)


class _WatchedLeg:
    def __init__(self, model: str, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._began = time.perf_counter()
        self.first = 0.0
        self.last = 0.0
        self.longest_gap = 0.0
        self.num_tokens = 0
        self.cached = 0
        self.end = "aborted"
        self.error: str | None = None
        metrics.in_flight.labels(model).inc()

    def conclude(self, num_prompt_tokens: int) -> None:
        metrics, model = self._metrics, self._model
        metrics.in_flight.labels(model).dec()
        metrics.legs.labels(model, self.end).inc()
        metrics.prompt_tokens.labels(model).inc(num_prompt_tokens)
        metrics.cached_tokens.labels(model).inc(min(self.cached, num_prompt_tokens))
        metrics.completion_tokens.labels(model).inc(self.num_tokens)
        if self.num_tokens:
            metrics.first_token_s.labels(model).observe(self.first - self._began)
        if self.num_tokens > 1:
            metrics.per_token_s.labels(model).observe((self.last - self.first) / (self.num_tokens - 1))
            metrics.longest_gap_s.labels(model).observe(self.longest_gap)

    def traced(self, num_prompt_tokens: int) -> Attributes:
        return {
            "gen_ai.usage.input_tokens": num_prompt_tokens,
            "gen_ai.usage.output_tokens": self.num_tokens,
            "gen_ai.response.finish_reasons": [self.end],
            "pir.cached_tokens": self.cached,
            **({"pir.time_to_first_token_s": self.first - self._began} if self.num_tokens else {}),
        }
