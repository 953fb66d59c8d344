"""The Responses API over a WebSocket: each request on a connection of its own, its events read like those of a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import replace
from typing import Any

import aiohttp

from pir_serve.conformance.responses import Responses
from pir_serve.conformance.responses_stream import ENDS
from pir_serve.conformance.surface import Call, Carrier, Reply, Rule, Trait, mapping, text
from pir_serve.conformance.wire import Http, Raw


class ResponsesSocket(Responses):
    """`response.create` over a WebSocket at /v1/responses."""

    name = "responses-socket"
    traits: frozenset[Trait] = frozenset({"responses", "socket"})
    streams: tuple[bool, ...] = (True,)
    carriers: Mapping[Carrier, str] = {name: rung for name, rung in Responses.carriers.items() if name != "header"}

    def body(self, call: Call) -> dict[str, Any]:
        return super().body(replace(call, stream=False)) | {"type": "response.create"}

    async def play(self, http: Http, call: Call) -> AsyncGenerator[Raw, None]:
        try:
            async with http.socket(self.path, self.headers(call)) as socket:
                await socket.send_str(json.dumps(self.body(call)))
                async for raw in reply_on(socket):
                    yield raw
        except aiohttp.WSServerHandshakeError as refusal:
            yield Raw(refusal.status, {}, refusal.message)

    def read(self, raw: Raw) -> Reply:
        """A reply has no headers here; what they say elsewhere is in `pir`."""
        reply = super().read(raw)
        told = {"x-pir-resume": text(reply.pir.get("resume"))}
        return replace(reply, raw=replace(raw, headers={**raw.headers, **told}))

    def faults(self, rule: Rule, raw: Raw, *, wants_usage: bool) -> list[str]:
        return list(_numbers(raw)) if rule == "framing" else super().faults(rule, raw, wants_usage=wants_usage)


async def reply_on(socket: aiohttp.ClientWebSocketResponse) -> AsyncGenerator[Raw, None]:
    """What answers the request that was sent last, in the form of a stream as far as it has come; an `error` in that of
    the reply which HTTP would give. Events about steering are left out: they are of the connection."""
    told = ""
    while True:
        message = await socket.receive()
        if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            yield Raw(200, {"content-type": "text/event-stream"}, told)  # closed: whoever reads it finds no end
            return
        event = mapping(json.loads(message.data))
        kind = text(event.get("type"))
        if kind == "error":
            status = event.get("status")
            headers = {"content-type": "application/json"}
            yield Raw(status if isinstance(status, int) else 0, headers, json.dumps({"error": event.get("error")}))
            return
        if kind.startswith("response.steer."):
            continue
        told += f"event: {kind}\ndata: {json.dumps(event)}\n\n"
        yield Raw(200, {"content-type": "text/event-stream"}, told)
        if kind in ENDS:
            return


def _numbers(raw: Raw) -> Iterator[str]:
    for number, frame in enumerate(raw.frames):
        event = mapping(frame.json)
        if not isinstance(event.get("type"), str):
            yield f"a message is no event with a type: {frame.data!r:.100}"
        if event.get("sequence_number") != number:
            yield f"sequence_number is {event.get('sequence_number')!r} where {number} comes next"
