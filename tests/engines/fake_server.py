"""A loopback server that speaks vLLM's and SGLang's completions dialects from a script: a fake of a foreign server.

It checks what a real one would refuse, so that an adapter that drops a field or sends a bad id fails here as well, and
it misbehaves on demand: errors before and inside a stream, deaths, silence, odd cuts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

Kind = Literal["vllm", "sglang"]
PROBE = [0, 1]
"""The prompt with which adapters try a server out."""


@dataclass
class Script:
    """How the next legs go."""

    tokens: list[tuple[int, str]] = field(default_factory=lambda: [(7, "Hel"), (8, "lo"), (9, " world")])
    finish: str | None = "length"
    stopped_by: Any = None
    queue_s: float = 0.0
    """Before the reply begins."""
    prefill_s: float = 0.0
    """Between the reply's head and its first token."""
    delay_s: float = 0.0
    """Before each token."""
    error_at: int | None = None
    """Send `error` in place of this token, then [DONE], as vLLM does when its core has died."""
    error: Any = field(
        default_factory=lambda: {"message": "EngineCore died", "type": "InternalServerError", "code": 500}
    )
    die_at: int | None = None
    """Cut the connection in place of this token; of the token after the last: of what ends the stream."""
    refuse: tuple[int, Any] | None = None
    """Status and body instead of a stream."""
    drop_connections: int = 0
    """So many POSTs are cut off before any reply."""
    without_ids: bool = False
    without_usage: bool = False
    without_done: bool = False
    piece: int | None = None
    """Bytes a write; None sends whole events."""
    junk: bytes = b""
    """Written before each event."""


class FakeServer:
    def __init__(self, kind: Kind, *, vocab_size: int = 1024, max_model_len: int = 64) -> None:
        self.kind = kind
        self.vocab_size = vocab_size
        self.max_model_len = max_model_len
        self.script = Script()
        self.next: list[Script] = []
        """How the legs to come go, before `script` holds again; several servers may share one list."""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[CIMultiDict[str]] = []
        self.connections: set[Any] = set()
        self.num_running = 0
        self.num_aborted = 0
        self.num_health_calls = 0
        self.is_dead = False
        """Killed by a bad id, as SGLang's CPU build is."""
        self.is_deaf = False
        """Takes connections and answers nothing, as a host that is gone behind a balancer does."""
        self.url = ""
        self._port = 0
        self._is_killed = False

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Self]:
        app = web.Application(middlewares=[self._unless_killed])
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/server_info", self._server_info)
        app.router.add_get("/{path:health|ready}", self._health)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/detokenize", self._detokenize)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.revive()
        try:
            yield self
        finally:
            await self._runner.cleanup()

    async def kill(self) -> None:
        """As kill -9 would: the port is closed, what runs is cut."""
        self._is_killed = True
        for site in list(self._runner.sites):
            await site.stop()
        for connection in self.connections:
            connection.abort()
        self.connections.clear()

    async def revive(self) -> None:
        """On its old port, if it had one."""
        self._is_killed = False
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"

    @web.middleware
    async def _unless_killed(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A connection that was being accepted as the server was killed outlives its port: it is cut here."""
        if self._is_killed and request.transport is not None:
            request.transport.abort()
        return await handler(request)

    def plan(self, script: Script, body: dict[str, Any]) -> Script:
        """`script`, with what this leg's prompt makes of it."""
        return script

    async def _models(self, request: web.Request) -> web.Response:
        entry = {"id": "tiny", "object": "model", "max_model_len": self.max_model_len}
        return web.json_response({"object": "list", "data": [entry]})

    async def _server_info(self, request: web.Request) -> web.Response:
        limits = {"context_length": self.max_model_len, "max_total_num_tokens": 9999}
        return web.json_response({**limits, "max_req_input_len": self.max_model_len - 6, "model_path": "/nowhere"})

    async def _health(self, request: web.Request) -> web.Response:
        self.num_health_calls += 1
        if self.is_deaf:
            await asyncio.sleep(60)
        wanted = "health" if self.kind == "vllm" else "ready"
        return web.Response(status=200 if request.match_info["path"] == wanted and not self.is_dead else 503)

    async def _tokenize(self, request: web.Request) -> web.Response:
        text = (await request.json())["prompt"]
        return web.json_response({"tokens": list(text.encode()), "count": len(text)})

    async def _detokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["skip_special_tokens"] is False
        return web.json_response({"prompt" if self.kind == "vllm" else "text": f"<|{body['tokens'][0]}|>"})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        body = await request.json()
        script = self.next.pop(0) if self.next and body["prompt"] != PROBE else self.script
        if script.drop_connections > 0:
            script.drop_connections -= 1
            return self._cut(request)
        self.bodies.append(body)
        self.headers.append(request.headers.copy())
        refusal = script.refuse or self._fault(body)
        if refusal is not None:
            status, content = refusal
            if isinstance(content, str):
                return web.Response(status=status, text=content)
            return web.json_response(content, status=status)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self.num_running += 1
        try:
            await asyncio.sleep(60 if self.is_deaf else script.queue_s)
            await response.prepare(request)
            await self._stream(self.plan(script, body), request, response, body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.num_aborted += 1
            raise
        finally:
            self.num_running -= 1
        return response

    def _fault(self, body: dict[str, Any]) -> tuple[int, Any] | None:
        prompt = body["prompt"]
        if any(i < 0 or i >= self.vocab_size for i in prompt):
            self.is_dead = self.kind == "sglang"
            return 400, {"error": {"message": "Token id out of vocabulary", "code": 400}}
        if len(prompt) + body["max_tokens"] > self.max_model_len:
            return 400, {"object": "error", "message": "over the context length", "code": 400}
        if len(body.get("stop", [])) > 4 or "" in body.get("stop", []):
            return 400, {"error": {"message": "bad stop", "code": 400}}
        keeps_stop = body.get("include_stop_str_in_output" if self.kind == "vllm" else "no_stop_trim")
        if not (keeps_stop and body["stream"] and body["return_token_ids"] and body["skip_special_tokens"] is False):
            return 400, {"error": {"message": f"a needed field is missing from {sorted(body)}", "code": 400}}
        return None

    def _cut(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _stream(
        self, script: Script, request: web.Request, response: web.StreamResponse, body: dict[str, Any]
    ) -> None:
        tokens = script.tokens[: body["max_tokens"]]
        await asyncio.sleep(script.prefill_s)
        for k, (token, text) in enumerate(tokens):
            if script.delay_s:
                await asyncio.sleep(script.delay_s)
            if script.error_at == k:
                await self._send(script, response, {"error": script.error})
                await self._send(script, response, None)
                return
            if script.die_at == k:
                self._cut(request)
                return
            is_last = k == len(tokens) - 1
            await self._send(script, response, self._event(script, body, token, text, first=k == 0, last=is_last))
        if script.die_at == len(tokens):
            self._cut(request)
            return
        if not script.without_usage:
            usage: dict[str, Any] = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(tokens)}
            usage["prompt_tokens_details"] = {"cached_tokens": 3}
            await self._send(script, response, {"choices": [], "usage": usage})
        if not script.without_done:
            await self._send(script, response, None)

    def _event(
        self, script: Script, body: dict[str, Any], token: int, text: str, *, first: bool, last: bool
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": script.finish if last else None}
        choice["stop_reason" if self.kind == "vllm" else "matched_stop"] = script.stopped_by if last else None
        if not script.without_ids:
            choice["token_ids"] = [token]
            if first:
                choice["prompt_token_ids"] = body["prompt"]
        choice["logprobs"] = {"token_logprobs": [-0.01 * token]} if body.get("logprobs") == 0 else None
        return {"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": None}

    async def _send(self, script: Script, response: web.StreamResponse, event: dict[str, Any] | None) -> None:
        payload = b"[DONE]" if event is None else json.dumps(event, ensure_ascii=False).encode()
        data = script.junk + b"data: " + payload + b"\n\n"
        piece = script.piece or len(data)
        for start in range(0, len(data), piece):
            await response.write(data[start : start + piece])
            if script.piece:
                await asyncio.sleep(0)
