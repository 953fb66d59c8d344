"""Where every request comes in and every reply goes out: its id, its caller's key and limits, one line in the log.

Nothing behind it has to remember to check: what is under /v1 is served to known callers only.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pir_serve.access.visit import Visit
from pir_serve.api.exchange import error_reply
from pir_serve.api.gateway import Gateway
from pir_serve.errors import PirError
from pir_serve.telemetry.logs import current_request_id

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


class Door:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        passage = _Passage(self._gateway, scope, send)
        try:
            if scope["path"].startswith("/v1"):
                try:
                    await passage.enter()
                except PirError as error:
                    await error_reply(error, HTTPConnection(scope))(scope, receive, passage.send)
                    return
            await self._app(scope, receive, passage.send)
        finally:
            passage.end()


class _Passage:
    """One request's way through."""

    def __init__(self, gateway: Gateway, scope: Scope, send: Send) -> None:
        self._gateway = gateway
        self._scope = scope
        self._send = send
        self._headers = Headers(scope=scope)
        self._began = time.perf_counter()
        self._status = 0
        self._visit: Visit | None = None
        given = self._headers.get("x-request-id", "")
        self._request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        scope["pir.request_id"] = self._request_id
        scope["pir.send"] = send
        current_request_id.set(self._request_id)

    async def enter(self) -> None:
        """Raises: Unauthorized, RateLimited, StoreError."""
        name = f"{self._scope.get('method', 'WS')} /v1"
        self._visit = self._scope["pir.visit"] = await self._gateway.visit(self._request_id, name, self._headers)
        if self._scope["type"] == "http" and self._scope["method"] == "POST":
            self._gateway.limiter.request(self._visit.caller)

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"].endswith("http.response.start"):
            self._status = message["status"]
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            headers.setdefault("x-request-id", self._request_id)
            if self._visit is not None:
                for name, value in self._gateway.limiter.headers(self._visit.caller).items():
                    headers[name] = value
        return self._send(message)

    def end(self) -> None:
        if self._visit is not None:
            if self._status >= 400:
                self._visit.error = str(self._status)
            self._visit.leave()
        took_s = time.perf_counter() - self._began
        # A client that left before there was a reply; nginx's number for it. Of a WebSocket: switched protocols.
        status = self._status or (101 if self._scope["type"] == "websocket" else 499)
        route = self._scope.get("route")
        path = getattr(route, "path", "other")  # as it is written in our routes: no ids of people, no made-up paths
        method = self._scope.get("method", "WS")
        self._gateway.metrics.replied(path, status, took_s)
        logger.log(
            logging.INFO if self._scope["path"].startswith("/v1") else logging.DEBUG,  # probes come all the time
            "%s %s %s %d, %.3f s%s", self._request_id, method, path, status, took_s,
            f", {self._visit.caller.key}" if self._visit is not None and self._visit.caller.key else "",
        )  # fmt: skip
