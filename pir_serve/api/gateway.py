"""What every request shares: the models served, the store, the keys, and how they are started and ended."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from pir_serve.access.keys import Limits
from pir_serve.access.limits import Limiter
from pir_serve.access.sharing import Sharing
from pir_serve.access.visit import Visit
from pir_serve.api.auth import Authenticator
from pir_serve.api.presence import Presence
from pir_serve.engines.base import Engine
from pir_serve.engines.verify import check_tokenizer
from pir_serve.errors import ConfigError, StoreError, UnknownModel
from pir_serve.policy import NO_ASK_SUFFIX, Gate
from pir_serve.prompt import PromptCodec
from pir_serve.prompting.contract import HASHED_UP_TO
from pir_serve.resume import Keys
from pir_serve.screening import load_screening
from pir_serve.settings import Settings, is_loopback
from pir_serve.store.base import Store
from pir_serve.store.sealed import Sealer
from pir_serve.telemetry.metrics import Metrics
from pir_serve.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

_EXPIRE_EVERY_S = 60.0
_PAUSE_S = 0.05
"""Before what is done after a reply: the client's next request, which often follows at once, goes first."""
_MAX_LATER = 256
"""Of what may wait to be done after a reply; beyond it the store is too slow, and replies go first."""
_TRACEPARENT = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LATER_S = 5.0
"""For that to be finished when the gateway stops."""


@dataclass(frozen=True)
class ServedModel:
    """One model: what generates, and what turns messages into its ids."""

    name: str
    engine: Engine
    codec: PromptCodec
    folder: Path | None = None
    """Where its files are on this machine, if they are."""
    created: int = field(default_factory=lambda: int(time.time()))
    """Unix seconds, for /v1/models."""

    @cached_property
    def digest(self) -> str:
        """Of what a stored trajectory depends on: the model's name, its tokenizer, its template."""
        return self.codec.digest_as(self.name)

    @cached_property
    def revision(self) -> str:
        """Of all that is known to make a difference: `digest`, and the weights if they are on this machine (of large
        ones their sizes, as hashing would take seconds)."""
        found = hashlib.sha256(self.digest.encode())
        for file in sorted(self.folder.glob("*.safetensors")) if self.folder else ():
            size = file.stat().st_size
            found.update(hashlib.sha256(file.read_bytes()).digest() if size <= HASHED_UP_TO else b"%d" % size)
        return found.hexdigest()[:16]

    @property
    def options(self) -> dict[str, Any]:
        """What a request that says nothing of its own goes by, in the words of `TurnRequest.options`."""
        preset = self.codec.preset
        return {"temperature": preset.temperature, "top_p": preset.top_p, "max_tokens": preset.max_tokens}

    @cached_property
    def examples(self) -> list[Any]:
        """Problems from examples.jsonl in the model's folder; none if it has no such file."""
        path = self.folder / "examples.jsonl" if self.folder else None
        if path is None or not path.is_file():
            return []
        lines = path.read_bytes().splitlines()
        return [orjson.loads(line) for line in lines if line.strip()]


class Gateway:
    """Handed to every handler; holds no state of any conversation.

    Raises:
        ConfigError: the secret is too short, the question screen's file is wrong, or tools cannot be passed.
    """

    def __init__(
        self,
        settings: Settings,
        models: Sequence[ServedModel],
        store: Store,
        secret: bytes,
        own: Sequence[Settings] = (),
    ) -> None:
        self.store = store
        self.presence = Presence()
        self.keys = Keys(secret)
        self.sealer = Sealer([secret])
        self.limiter = Limiter()
        self._sharing = Sharing(self.limiter, store.tallies)
        self.metrics = Metrics()
        self.tracer = Tracer() if settings.traces else None
        store.observe(self.metrics.stored)
        self._engines: list[Engine] = []
        """Started and not closed: of the models served, and of those dropped that a reply still uses."""
        self.retiring: dict[Engine, str] = {}
        """Those of dropped models, and the model's name: they end what they have begun."""
        self._retired: list[weakref.finalize[Any, Any]] = []
        self.models: Mapping[str, ServedModel] = {}
        self.adopt(settings, models, own)
        self._later: deque[Coroutine[Any, Any, None]] = deque()
        self._left_out = 0
        self._working_off: asyncio.Task[None] | None = None
        self._spawned: set[asyncio.Task[None]] = set()

    def adopt(self, settings: Settings, models: Sequence[ServedModel], own: Sequence[Settings] = ()) -> None:
        """Go by these from now on; what runs goes on as it began. `own`: of each model, where that differs.

        The engines of new models must have been started (`start_model`), those of dropped ones are closed when nothing
        uses them any more.

        Raises:
            ConfigError: they cannot be served so, and nothing has changed.
        """
        for model in models:
            if settings.tools == "pass" and not model.codec.template.knows_tools:
                raise ConfigError(
                    f"tools is pass, but the chat template of {model.name} shows no tools, or has the model write its "
                    "calls in a way that is not known here (known: JSON in <tool_call>, as Hermes and Qwen models "
                    "write). Set PIR_TOOLS to ask_only, or give a tokenizer folder with such a template"
                )
        self.screening = load_screening(settings.screen)
        self.settings = settings
        self.auth = Authenticator(
            settings.api_key,
            self.store.keys,
            defaults=Limits(settings.requests_per_minute, settings.tokens_per_minute, settings.max_streams),
            may_be_open=is_loopback(settings.host),
        )
        self._own = {each.name: each for each in own}
        self.gate = None if settings.gate_nats is None else Gate(settings.gate_nats, settings.gate_max)
        dropped = [model for model in self.models.values() if model not in models]
        self.models = {model.name: model for model in models}
        for model in dropped:
            self._retire(model)

    async def _start_models(self) -> None:
        """On its own, because what calls it lives as long as the gateway, and would keep the last model as long."""
        for model in self.models.values():
            await self.start_model(model)

    async def start_model(self, model: ServedModel) -> None:
        """Raises: EngineUnavailable, ConfigError: its engine cannot start, or reads other tokens."""
        self._engines.append(model.engine)
        await model.engine.start()
        await check_tokenizer(model.engine, model.codec)

    async def close_engine(self, engine: Engine) -> None:
        self.retiring.pop(engine, None)
        if engine in self._engines:
            self._engines.remove(engine)
            await engine.aclose()

    def _retire(self, model: ServedModel) -> None:
        """Runs refer to their model, between two legs as well: its engine is closed with the last of them."""
        loop, engine = asyncio.get_running_loop(), model.engine

        def close() -> None:
            self.spawn(self.close_engine(engine))

        self.retiring[engine] = model.name
        self._retired.append(weakref.finalize(model, loop.call_soon_threadsafe, close))

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` some time after the reply has left; left undone where too much waits.

        One thing after the other, so that a question that must be stored at once has little before it.
        """
        if len(self._later) >= _MAX_LATER:
            work.close()
            self._left_out += 1
            return
        self._later.append(work)
        if self._working_off is None or self._working_off.done():
            self._working_off = asyncio.create_task(self._work_off())

    async def _work_off(self) -> None:
        await asyncio.sleep(_PAUSE_S)
        while self._later:
            await self._later.popleft()
        if self._left_out:
            logger.warning("the store was slow: what is done after a reply was left out %d times", self._left_out)
            self._left_out = 0

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that may outlive its request; cancelled when the gateway stops, before the store is closed."""
        task = asyncio.create_task(work)
        self._spawned.add(task)
        task.add_done_callback(self._spawned.discard)
        return task

    async def visit(self, request_id: str, name: str, headers: Mapping[str, str]) -> Visit:
        """Of a request; `name` says what it is until it is known better. Raises: Unauthorized, StoreError."""
        caller = await self.auth.caller(headers)
        span = None if self.tracer is None else self.tracer.request(name, headers, request_id)
        trace = headers.get("traceparent", "")
        return Visit(request_id, caller, self.limiter, span, trace if _TRACEPARENT.fullmatch(trace) else "")

    def settings_of(self, served: ServedModel) -> Settings:
        """What holds for requests of this model."""
        return self._own.get(served.name, self.settings)

    def passes_tools(self, served: ServedModel) -> bool:
        """Whether the model is shown a request's ordinary tools."""
        return self.settings.tools in ("auto", "pass") and served.codec.template.knows_tools

    def served(self, name: str) -> tuple[ServedModel, bool]:
        """The model of a public name, and whether the name says that it must not ask.

        Raises:
            UnknownModel
        """
        base = name.removesuffix(NO_ASK_SUFFIX)
        if base not in self.models:
            known = ", ".join(self.models)
            raise UnknownModel(f"there is no model {name[:80]!r} here; there is: {known}", param="model")
        return self.models[base], base != name

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Store and engines are started, and ended again.

        Raises:
            StoreError, EngineUnavailable, ConfigError: one of them cannot start, or the engine reads other tokens.
        """
        for_ever: list[asyncio.Task[None]] = []
        try:
            await self.store.start()
            await self._check_keys()
            await self._start_models()
            await self._sharing.exchange()
            for_ever = [asyncio.create_task(work) for work in (self._expire_for_ever(), self._sharing.go_on())]
            yield
        finally:
            for task in for_ever:
                task.cancel()
            await self._end_tasks()
            await self._sharing.conclude()
            for retired in self._retired:
                retired.detach()
            for engine in [*self._engines]:
                await self.close_engine(engine)
            await self.store.aclose()
            if self.tracer is not None:
                await asyncio.to_thread(self.tracer.close)

    async def _check_keys(self) -> None:
        """Raises: ConfigError, where anybody on the network could use the model."""
        if await self.auth.is_open():
            logger.warning("no API key is set: anybody on this machine may use the gateway, and nobody else")
        elif not self.settings.api_key and not await self.store.keys.any():
            raise ConfigError(
                f"host {self.settings.host} is reachable from other machines, but there is no API key: anybody could "
                "use the model. Make one with `pir keys create`, or set PIR_API_KEY to a long random string, or listen "
                "on 127.0.0.1"
            )

    async def _end_tasks(self) -> None:
        for task in self._spawned:
            task.cancel()
        await asyncio.gather(*self._spawned, return_exceptions=True)
        if self._working_off is not None:
            await asyncio.wait([self._working_off], timeout=_LATER_S)
        for work in self._later:
            work.close()
        self._later.clear()

    async def _expire_for_ever(self) -> None:
        while True:
            try:
                expired = await self.store.expire(time.time())
            except StoreError as error:
                logger.warning("suspensions could not be expired: %s", error)
            else:
                self.metrics.expired.inc(expired)
                if expired:
                    logger.info("%d suspensions expired", expired)
            await asyncio.sleep(_EXPIRE_EVERY_S)
