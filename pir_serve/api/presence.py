"""What is being generated just now, and whether more is taken: so that a process can end without cutting anybody off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pir_serve.api.sse import STOPPING

_RETRY_AFTER = b"1"
"""Seconds after which a refused request may come again: to the next process, which is there by then."""


class Presence:
    """Of one process."""

    def __init__(self) -> None:
        self.num_live = 0
        """Replies, background responses and responses over WebSockets that are being made."""
        self.is_draining = False
        """Told to stop: what is live may end, nothing new begins."""

        self._quiet = asyncio.Event()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        self.num_live += 1
        try:
            yield
        finally:
            self._leave()

    def follow(self, task: asyncio.Task[None]) -> None:
        """Count it until it is done."""
        self.num_live += 1
        task.add_done_callback(lambda _: self._leave())

    async def quiet(self) -> None:
        """Returns when nothing is live."""
        while self.num_live:
            self._quiet.clear()
            await self._quiet.wait()

    def _leave(self) -> None:
        self.num_live -= 1
        if not self.num_live:
            self._quiet.set()


class Turnstile:
    """ASGI middleware around the whole application: counts the POSTs, and takes no more of them while draining."""

    def __init__(self, app: ASGIApp, presence: Presence) -> None:
        self._app = app
        self._presence = presence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif self._presence.is_draining:
            await _refuse(send)
        else:
            with self._presence.at_work():
                await self._app(scope, receive, send)


async def _refuse(send: Send) -> None:
    start: Message = {
        "type": "http.response.start",
        "status": int(STOPPING.status),
        "headers": [
            (b"content-type", b"application/json"),
            (b"retry-after", _RETRY_AFTER),
            (b"connection", b"close"),  # the next one on this connection would be refused as well
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": orjson.dumps(STOPPING.body())})
