"""A proxy before a gateway that breaks one rule of the pausing contract: what the conformance suite must catch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

Json = dict[str, Any]


@dataclass
class Fault:
    """What is done to what goes through. Each part sees everything and changes what it likes."""

    request: Callable[[Json, dict[str, str]], None] = lambda body, headers: None
    """Changes a request's body and headers in place."""
    message: Callable[[Json], None] = lambda message: None
    """Changes `message` of a whole reply and each `delta` of a stream; in the Responses API, each response object."""
    stream: Callable[[str], str] = lambda text: text
    """Changes the text of a stream, after `message` has."""
    headers: Callable[[dict[str, str]], None] = lambda headers: None
    """Changes the `X-` headers of a reply."""
    whole: Callable[[Json], None] = lambda body: None
    """Changes a whole reply, an error included."""
    refuse: Callable[[Json], tuple[int, Json] | None] = lambda body: None
    """A reply of the proxy's own, and the gateway is not asked."""
    query: Callable[[str], str] = lambda query: query
    """Changes what stands behind the path."""
    event: Callable[[Json], Json | None] = lambda event: event
    """Changes an event of a WebSocket, after `message` has; None drops it."""
    closes: bool = False
    """A WebSocket is closed after its first `error`."""


class BreakingProxy:
    """Serves on a free port; `fault` may be changed between requests."""

    def __init__(self, gateway_url: str, fault: Fault) -> None:
        self._gateway = gateway_url
        self.fault = fault
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {n: v for n, v in request.headers.items() if n.lower() not in ("host", "content-length")}
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._connected(request, headers)
        raw = await request.read()
        with contextlib.suppress(ValueError):
            body = json.loads(raw)
            if isinstance(body, dict):
                if (own := self.fault.refuse(body)) is not None:
                    return web.json_response(own[1], status=own[0])
                self.fault.request(body, headers)
                raw = json.dumps(body).encode()
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, self._where(request), data=raw, headers=headers) as reply,
        ):
            text = await reply.text()
            kept = {n.lower(): v for n, v in reply.headers.items() if n.lower().startswith("x-")}
            self.fault.headers(kept)
            content_type = reply.headers.get("content-type", "")
            text = self._streamed(text) if content_type.startswith("text/event-stream") else self._whole(text)
            out = web.Response(body=text.encode(), status=reply.status, headers=kept)
            out.headers["content-type"] = content_type
            return out

    def _where(self, request: web.Request) -> str:
        return f"{self._gateway}{request.path}?{self.fault.query(request.query_string)}".rstrip("?")

    async def _connected(self, request: web.Request, headers: dict[str, str]) -> web.WebSocketResponse:
        handshake = {
            n: v for n, v in headers.items() if n.lower() in ("authorization", "x-pir-ask", "x-pir-conversation")
        }
        client = web.WebSocketResponse()
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self._where(request), headers=handshake) as one,
        ):
            await client.prepare(request)
            heard = asyncio.create_task(self._forward(client, one))
            try:
                async for message in client:
                    data = message.data
                    with contextlib.suppress(ValueError):
                        body = json.loads(data)
                        if isinstance(body, dict):
                            if (own := self.fault.refuse(body)) is not None:
                                await client.send_str(json.dumps({"type": "error", "status": own[0], **own[1]}))
                                continue
                            self.fault.request(body, {})
                            data = json.dumps(body)
                    await one.send_str(data)
            finally:
                heard.cancel()
                await asyncio.gather(heard, return_exceptions=True)
        return client

    async def _forward(self, client: web.WebSocketResponse, gateway: aiohttp.ClientWebSocketResponse) -> None:
        async for message in gateway:
            event = json.loads(message.data)
            if "response" in event:
                self.fault.message(event["response"])
            if (changed := self.fault.event(event)) is not None:
                await client.send_str(json.dumps(changed))
            if self.fault.closes and event["type"] == "error":
                await client.close()

    def _whole(self, text: str) -> str:
        body = json.loads(text)
        for choice in body.get("choices", ()):
            self.fault.message(choice["message"])
        if body.get("object") == "response":
            self.fault.message(body)
        self.fault.whole(body)
        return json.dumps(body)

    def _streamed(self, text: str) -> str:
        def changed(match: re.Match[str]) -> str:
            chunk = json.loads(match[1])
            for choice in chunk.get("choices", ()):
                self.fault.message(choice["delta"])
            if "response" in chunk:
                self.fault.message(chunk["response"])
            return f"data: {json.dumps(chunk)}"

        return self.fault.stream(re.sub(r"^data: (\{.*\})$", changed, text, flags=re.MULTILINE))


@contextlib.asynccontextmanager
async def serving(proxy: BreakingProxy) -> AsyncIterator[BreakingProxy]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield proxy
    finally:
        await runner.cleanup()
