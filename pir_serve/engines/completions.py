"""Legs over OpenAI's /v1/completions with token-id prompts: what vLLM and SGLang have in common.

Each leg is one streamed POST; closing the iterator closes its connection, which both engines take as an abort. Budgets
and token ids are checked here, because the engines clamp in silence (vLLM) or die (SGLang's CPU build on a bad id).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import orjson

from pir_serve.engines.base import LegRequest, SamplingParams, TokenChunk
from pir_serve.engines.http import HttpClient, Reply
from pir_serve.engines.stream import LegStream, refusal
from pir_serve.errors import (
    ConfigError,
    ContextLengthExceeded,
    EngineError,
    EngineProtocolError,
    EngineRejected,
    EngineUnavailable,
)

log = logging.getLogger(__name__)

_CALL_S = 30.0
_HEALTH_S = 2.0
_TRAILER_S = 0.05
"""Within which the reply must end after its last event, so that its connection can be used again."""
_MAX_STOPS = 4
"""vLLM's limit on stop strings."""


class CompletionsEngine(ABC):
    """Subclasses are the dialects: request fields, start-up facts, health path."""

    kind: ClassVar[str]
    health_path: ClassVar[str]

    def __init__(
        self,
        url: str,
        model: str = "",
        api_key: str | None = None,
        *,
        vocab_size: int | None = None,
        cache_key: bytes | None = None,
        silence_s: float = 300.0,
    ) -> None:
        """Args:
        url: the server's root, with or without a trailing /v1.
        model: served name; "" takes the only one there is.
        vocab_size: ids at or above are refused; None leaves that to the engine.
        cache_key: secret under which tenants are hashed into cache partitions, the same in every replica of the
            gateway; None draws one for this process.
        silence_s: a stream without a single byte for so long counts as dead (queueing included).
        """
        self.url = url.rstrip("/").removesuffix("/v1")
        self.model = model
        self.name = f"{self.kind} {without_credentials(self.url)}"
        self.max_model_len = 0
        self.vocab_size = vocab_size
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key.strip()}"
        self._http = HttpClient(self.url, headers, silence_s=silence_s)
        self._cache_key = cache_key or secrets.token_bytes(32)
        self._partitions: dict[str, str] = {}
        self._spellings: dict[int, str] = {}

    async def start(self) -> None:
        """Connect, learn the limits, and generate two tokens, which also warms up what log-probabilities need.

        Raises:
            EngineUnavailable: not reachable.
            ConfigError: it is no such engine, lacks the model, or cannot return token ids.
        """
        await self._learn_limits()
        probe = LegRequest([0, 1], 2, SamplingParams(temperature=0.0))
        try:
            async with contextlib.aclosing(self.generate(probe)) as leg:
                chunks = [chunk async for chunk in leg]
        except (EngineProtocolError, EngineRejected) as error:
            raise ConfigError(f"{self.name} failed a probe of two tokens: {error.message}") from error
        if any(len(chunk.logprobs) != len(chunk.token_ids) for chunk in chunks):
            raise ConfigError(f"{self.name} does not return log-probabilities of the sampled tokens")

    @abstractmethod
    async def _learn_limits(self) -> None:
        """Set `max_model_len` and, where it was not given, `model`."""

    @abstractmethod
    def _dialect(self, request: LegRequest) -> dict[str, Any]:
        """The request fields on which engines differ."""

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        """See `Engine.generate`."""
        body = orjson.dumps(self.body(request))
        stream = LegStream(request)
        reply = await self._post(body, self._leg_headers(request))
        try:
            while not stream.is_done and (read := await reply.read_some()):
                chunk = stream.feed(read)
                if chunk is not None:
                    yield chunk
            last = stream.last()
        except OSError as error:
            raise EngineUnavailable(f"{self.name} broke off: {_words(error)}") from error
        finally:
            reply.close(grace_s=_TRAILER_S if stream.is_done else 0)
        if stream.eos_id is not None:
            last = replace(last, text=last.text.removesuffix(await self._spelling(stream.eos_id)))
        yield last

    def body(self, request: LegRequest) -> dict[str, Any]:
        """What the engine is sent. Raises: EngineRejected, ContextLengthExceeded: what must not reach the engine."""
        params = request.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": request.prompt_ids,
            "max_tokens": self._budget(request),
            "temperature": params.temperature,
            "top_p": params.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_token_ids": True,
            "skip_special_tokens": False,  # or a stop string that is a special token is never seen
            **self._dialect(request),
        }
        if params.top_k is not None:
            body["top_k"] = params.top_k if params.top_k > 0 else -1  # both engines' word for off
        if params.seed is not None:
            body["seed"] = params.seed
        if params.frequency_penalty:
            body["frequency_penalty"] = params.frequency_penalty
        if params.presence_penalty:
            body["presence_penalty"] = params.presence_penalty
        stops = [stop for stop in request.stop if stop]  # an empty one matches at once
        if len(stops) > _MAX_STOPS:
            raise EngineRejected(f"{len(stops)} stop strings; engines take at most {_MAX_STOPS}")
        if stops:
            body["stop"] = stops
        if request.stop_token_ids:
            body["stop_token_ids"] = list(request.stop_token_ids)
        if request.logprobs:
            body["logprobs"] = 0
        if request.tenant:
            body["cache_salt"] = self._partition(request.tenant)
        return body

    def _budget(self, request: LegRequest) -> int:
        """max_tokens, clamped to the context; checks the ids on the way."""
        prompt = request.prompt_ids
        if not prompt or request.max_tokens < 1:
            raise EngineRejected("a leg needs at least one prompt token and max_tokens of at least 1")
        if min(prompt) < 0 or (self.vocab_size is not None and max(prompt) >= self.vocab_size):
            raise EngineRejected(f"token ids must lie in 0..{(self.vocab_size or 0) - 1}; is this its own tokenizer?")
        if not self.max_model_len:
            return request.max_tokens
        room = self.max_model_len - len(prompt)
        if room < 1:
            raise ContextLengthExceeded(f"{len(prompt)} prompt tokens; this model's context holds {self.max_model_len}")
        return min(request.max_tokens, room)

    def _partition(self, tenant: str) -> str:
        """A cache partition's name, from which the tenant cannot be told."""
        if tenant not in self._partitions:
            if len(self._partitions) >= 10_000:
                self._partitions.clear()
            self._partitions[tenant] = hmac.new(self._cache_key, tenant.encode(), hashlib.sha256).hexdigest()[:32]
        return self._partitions[tenant]

    def _leg_headers(self, request: LegRequest) -> dict[str, str]:
        headers = {}
        if request.session:
            headers["X-Session-ID"] = _header_safe(request.session)
        if request.request_id:
            headers["X-Request-Id"] = self._upstream_id(request)
        if request.trace:
            headers["traceparent"] = request.trace
        return headers

    def _upstream_id(self, request: LegRequest) -> str:
        """Unlike the request's own id, never twice the same: engines refuse or mix up a repeated live one."""
        return f"{_header_safe(request.request_id)}-{secrets.token_hex(3)}"

    async def _post(self, body: bytes, headers: dict[str, str]) -> Reply:
        """The reply to a leg, with status 200 and its body unread."""
        try:
            reply = await self._http.request("POST", "/v1/completions", body, headers)
        except OSError as error:
            raise EngineUnavailable(f"{self.name} is not reachable: {_words(error)}") from error
        if reply.status == 200:
            return reply
        raise await self._refused(reply)

    async def _refused(self, reply: Reply) -> EngineError:
        try:
            text = await reply.read()
        except OSError:
            text = b""
        finally:
            reply.close()
        return refusal(reply.status, text, self.name)

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A small JSON exchange. Raises: EngineError."""
        data = b"" if body is None else orjson.dumps(body)
        try:
            async with asyncio.timeout(_CALL_S):
                reply = await self._http.request(method, path, data)
                if reply.status != 200:
                    raise await self._refused(reply)
                with contextlib.closing(reply):
                    text = await reply.read()
        except OSError as error:  # TimeoutError is one
            raise EngineUnavailable(f"{self.name} is not reachable: {_words(error)}") from error
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise EngineProtocolError(f"{self.name} answered {path} with something that is not JSON") from error

    async def tokenize(self, text: str) -> list[int]:
        """The engine's own encoding of `text`, special tokens in the text included, none added. Raises: EngineError."""
        reply = await self._call(
            "POST", "/tokenize", {"model": self.model, "prompt": text, "add_special_tokens": False}
        )
        try:
            return [int(i) for i in reply["tokens"]]
        except (KeyError, TypeError, ValueError) as error:
            raise EngineProtocolError(f"{self.name} answered /tokenize without token ids") from error

    async def _spelling(self, token: int) -> str:
        """How the engine writes one token; asked once for each."""
        if token not in self._spellings:
            body = {"model": self.model, "tokens": [token], "skip_special_tokens": False}
            reply = await self._call("POST", "/detokenize", body)
            self._spellings[token] = str(reply.get("prompt", reply.get("text", "")))
        return self._spellings[token]

    async def healthy(self) -> bool:
        try:
            async with asyncio.timeout(_HEALTH_S):
                reply = await self._http.request("GET", self.health_path)
        except OSError:
            return False
        reply.close(grace_s=_TRAILER_S)
        return reply.status == 200

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _served_models(self) -> dict[str, dict[str, Any]]:
        """Entries of /v1/models by name; settles `self.model`.

        Raises:
            EngineUnavailable: not reachable.
            ConfigError: no such model, or no OpenAI-style server.
        """
        try:
            reply = await self._call("GET", "/v1/models")
            served = {str(entry["id"]): dict(entry) for entry in reply["data"]}
        except (EngineProtocolError, EngineRejected, KeyError, TypeError) as error:
            raise ConfigError(f"{self.name} has no usable /v1/models: {_words(error)}") from error
        names = ", ".join(sorted(served)) or "none"
        if not self.model and len(served) == 1:
            self.model = next(iter(served))
        if self.model not in served:
            raise ConfigError(f"{self.name} serves no model {self.model!r}; it serves: {names}")
        return served


def _header_safe(value: str) -> str:
    """As it is where that is plain ASCII, else its hash: ids may come from clients, and headers are lines of text."""
    if len(value) <= 200 and value.isascii() and value.isprintable():
        return value
    return hashlib.sha256(value.encode()).hexdigest()[:32]


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def without_credentials(url: str) -> str:
    """For logs, metrics and `/ready`."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
