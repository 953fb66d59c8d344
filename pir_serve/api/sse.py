"""Server-sent events as an ASGI application sends them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.types import Send

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


async def start_stream(send: Send, headers: Mapping[str, str]) -> None:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in {**headers, **_HEADERS}.items()]
    await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": raw})


async def write(send: Send, body: bytes) -> None:
    if body:
        await send({"type": "http.response.body", "body": body, "more_body": True})


async def end_stream(send: Send, body: bytes = b"") -> None:
    """`body`: the last of it, which leaves with the end in one piece."""
    await send({"type": "http.response.body", "body": body, "more_body": False})
