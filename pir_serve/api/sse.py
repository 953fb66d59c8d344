"""Server-sent events as an ASGI application sends them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import cast

from starlette.types import Scope, Send

from pir_serve.errors import EngineUnavailable

STOPPING = EngineUnavailable("the gateway is stopping; try again")
DONE = b"data: [DONE]\n\n"
KEEPALIVE = b": keepalive\n\n"
"""A comment, and never an `id:` line beside it: the two together break the OpenAI Python SDK."""
_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would hold chunks back
}


async def start_stream(scope: Scope, send: Send, headers: Mapping[str, str]) -> Send:
    """By what the rest is to be sent: past the layers around us, which care for the beginning alone and would cost
    every token a call each."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in {**headers, **_HEADERS}.items()]
    await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": raw})
    return cast(Send, scope.get("pir.send", send))


async def write(send: Send, body: bytes) -> None:
    if body:
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def end_stream(send: Send, body: bytes = b"") -> None:
    """`body`: the last of it, which leaves with the end in one piece."""
    await send({"type": "http.response.body", "body": body, "more_body": False})
