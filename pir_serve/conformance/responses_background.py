"""The Responses API in the background: polled to its end, or streamed to a client that loses its connection on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pir_serve.conformance.responses import Responses
from pir_serve.conformance.surface import Call, Trait, mapping
from pir_serve.conformance.wire import Http, Raw

_POLL_S = 0.02
_SEEN = 4
"""Events until the connection is lost."""


class ResponsesBackground(Responses):
    """POST /v1/responses with `background: true`, then GET."""

    name = "responses-background"
    traits: frozenset[Trait] = frozenset({"responses", "background"})

    def body(self, call: Call) -> dict[str, Any]:
        return {"background": True, **super().body(call)}

    async def play(self, http: Http, call: Call) -> AsyncGenerator[Raw, None]:
        begun = Raw(0, {}, "")
        async with aclosing(super().play(http, call)) as pieces:
            async for begun in pieces:
                yield begun
                if begun.is_stream and len(begun.frames) >= _SEEN:
                    break
        if begun.status != 200:
            return
        if not begun.is_stream:
            yield await self._polled(http, begun)
            return
        kept = begun.frames[:_SEEN]
        seen = "".join("\n".join(frame.lines) + "\n\n" for frame in kept)
        last = [mapping(frame.json) for frame in kept if frame.json is not None][-1]
        first = next(mapping(mapping(frame.json).get("response")) for frame in kept if frame.json is not None)
        where = f"{self.path}/{first.get('id')}?stream=true&starting_after={last.get('sequence_number')}"
        async with aclosing(http.follow(where)) as pieces:
            async for rest in pieces:
                yield Raw(rest.status, begun.headers, seen + rest.text) if rest.is_stream else rest

    async def _polled(self, http: Http, begun: Raw) -> Raw:
        """The response when it has ended, with the headers of the reply that began it."""
        now = begun
        while mapping(now.json).get("status") in ("queued", "in_progress"):
            await asyncio.sleep(_POLL_S)
            now = await http.get(f"{self.path}/{mapping(begun.json).get('id')}")
        return Raw(now.status, {**now.headers, **begun.headers}, now.text)
