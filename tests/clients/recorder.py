"""Stands between a client and the gateway and writes down what goes through, without changing it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web


@dataclass
class Exchange:
    """One request of the client and what it got."""

    body: dict[str, Any]
    headers: dict[str, str]
    """Of the request; names in lower case."""
    path: str = ""
    status: int = 0
    resume: str = ""
    text: str = ""
    lost: bool = False
    """The client was told of a failure instead."""

    @property
    def turns(self) -> list[str]:
        """Who speaks in what the client sent: assistant or user, call or output."""
        kinds = {"function_call": "call", "function_call_output": "output"}
        sent = self.body.get("messages") or self.body.get("input", [])
        turns = []
        for one in sent:
            role = "call" if one.get("tool_calls") else {"tool": "output"}.get(one.get("role"), one.get("role"))
            turns.append(kinds.get(one.get("type"), role))
        return [turn for turn in turns if turn not in (None, "system", "developer")]

    @property
    def asks(self) -> bool:
        return '"status":"awaiting_user"' in self.text


@dataclass
class Recorder:
    gateway: str
    url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    lose_next: bool = False
    """The next reply is fetched from the gateway and lost on the way: 503, as from a proxy whose connection broke."""

    def take(self) -> list[Exchange]:
        """What went through since the last time."""
        taken, self.exchanges = self.exchanges, []
        return taken

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        sent = {n.lower(): v for n, v in request.headers.items()}
        passed = {n: v for n, v in sent.items() if n not in ("host", "content-length", "accept-encoding")}
        exchange = Exchange(json.loads(raw) if raw else {}, sent, request.path)
        self.exchanges.append(exchange)
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, self.gateway + request.path_qs, data=raw, headers=passed) as reply,
        ):
            exchange.status, exchange.resume = reply.status, reply.headers.get("x-pir-resume", "")
            if self.lose_next:
                self.lose_next, exchange.lost = False, True
                exchange.text = await reply.text()
                return web.json_response({"error": {"message": "the connection broke"}}, status=503)
            headers = {n: v for n, v in reply.headers.items() if n.lower().startswith(("x-", "content-type"))}
            out = web.StreamResponse(status=reply.status, headers=headers)
            await out.prepare(request)
            async for piece in reply.content.iter_any():
                exchange.text += piece.decode("utf-8", "replace")
                await out.write(piece)
            await out.write_eof()
            return out


@contextmanager
def recording(gateway: str) -> Iterator[Recorder]:
    """In a thread with a loop of its own, on a free port."""
    recorder, started = Recorder(gateway), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", recorder.handle)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        recorder.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert started.wait(20), "the recorder did not start"
    try:
        yield recorder
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()
        loop.close()
