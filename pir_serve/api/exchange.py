"""What every handler does with a request and its reply: read the body within bounds, say whose it is, answer in JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response as HttpResponse

from pir_serve.access.visit import Visit
from pir_serve.errors import PirError, RateLimited, RequestError


class BodyTooLarge(RequestError):
    """413: more than `Settings.max_body_bytes`."""

    status = RequestError.status.__class__.REQUEST_ENTITY_TOO_LARGE
    code = "request_too_large"


def json_reply(body: dict[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status, headers, media_type="application/json")


def error_reply(error: PirError, request: HTTPConnection) -> HttpResponse:
    headers = {"x-request-id": request_id(request)}
    if isinstance(error, RateLimited):  # passes by itself: both SDKs wait as long as they are told, and try again
        headers["retry-after"] = str(math.ceil(error.retry_after_s))
    elif error.status < 500:  # both SDKs repeat 408, 409 and 429 by themselves; none of ours passes by itself
        headers["x-should-retry"] = "false"
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return json_reply(error.body(), status=error.status, headers=headers)


def request_id(request: HTTPConnection) -> str:
    """The client's `X-Request-Id` if it is a sane one, else one of ours (`door`)."""
    return str(request.scope["pir.request_id"])


def visit_of(request: HTTPConnection) -> Visit:
    """Who the request is from; of all under /v1."""
    visit = request.scope["pir.visit"]
    assert isinstance(visit, Visit)
    return visit


async def read_body(request: Request, limit: int) -> bytes:
    """Raises: BodyTooLarge, before more than `limit` bytes are held."""
    too_large = BodyTooLarge(f"the body is larger than {limit} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise too_large
        parts.append(part)
    return b"".join(parts)
