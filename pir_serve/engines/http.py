"""HTTP/1.1 to an engine's server: connections that are kept, replies that are read as they come.

Every token of every leg passes here, so a read costs one callback: no task, timer or stream of its own. Leaves out what
engines have no use for: redirects, compression, cookies, proxies.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools

_IDLE_S = 4.0
"""How long an unused connection is kept. Uvicorn, behind both engines, closes its own after 5 s: ours must go first."""
_CONNECT_S = 5.0


class ConnectionDropped(ConnectionError):
    """Closed by the server before the first byte of a reply."""


class HttpClient:
    """One server. All failures of the network are `OSError`s, silence (`TimeoutError`) and replies that are not HTTP
    included."""

    def __init__(self, url: str, headers: Mapping[str, str], *, silence_s: float) -> None:
        """Args:
        url: http or https; a path in it goes before each request's own.
        headers: sent with every request.
        silence_s: a reply without a single byte for so long is dead.
        """
        parts = urlsplit(url)
        is_secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if is_secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._ssl = ssl.create_default_context() if is_secure else None
        self._headers = _lines({"Host": parts.netloc.rpartition("@")[2], **headers})
        self._silence_s = silence_s
        self._open: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()
        """Those of the open ones that carry no reply, the one used last at the end."""

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """A reply whose status is known and whose body is unread. Raises: OSError."""
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}{_lines(headers or {})}"
        raw = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        kept = self._kept()
        if kept is not None:
            try:
                return await Reply(kept, self._silence_s).begin(raw)
            except ConnectionDropped:
                pass  # as we took it: nothing was produced, so once more is safe
        return await Reply(await self._connect(), self._silence_s).begin(raw)

    async def aclose(self) -> None:
        """Cuts off what is still running. The client can be used again."""
        for connection in self._open:
            connection.transport.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # transports close in the loop's next turn

    def _kept(self) -> _Connection | None:
        """An idle connection that is still good: the one used last, so that those not needed grow old."""
        fresh = asyncio.get_running_loop().time() - _IDLE_S
        while self._idle and self._idle[0].idle_since < fresh:
            self._idle.popleft().transport.abort()
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    async def _connect(self) -> _Connection:
        loop, where = asyncio.get_running_loop(), f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._open, self._idle), self._host, self._port, ssl=self._ssl
                )
        except TimeoutError:
            raise TimeoutError(f"no connection to {where} within {_CONNECT_S:g} s") from None
        return connection


class Reply:
    """One reply, read as it comes. Whoever has it must `close` it."""

    def __init__(self, connection: _Connection, silence_s: float) -> None:
        self.status = 0
        """0 until it is known."""
        self._connection = connection
        self._silence_s = silence_s
        self._parts: list[bytes] = []
        self._is_over = False
        self._error: OSError | None = None
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._heard = self._loop.time()
        self._timer = self._loop.call_later(silence_s, self._check_silence)

    async def begin(self, raw: bytes) -> Reply:
        """Itself, once the request is sent and the status known. Raises: OSError."""
        self._connection.send(raw, self)
        try:
            while not self.status:
                await self._news()
        except BaseException:
            self.close()
            raise
        return self

    async def read_some(self) -> bytes:
        """All of the body that has come since the last call; empty at its end. Raises: OSError."""
        while not (self._parts or self._is_over):
            await self._news()
        read = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        return read

    async def read(self) -> bytes:
        """The rest of the body. Raises: OSError."""
        parts = []
        while read := await self.read_some():
            parts.append(read)
        return b"".join(parts)

    def close(self, grace_s: float = 0.0) -> None:
        """Have done with it. If it is not over, nor is `grace_s` later, its connection is cut: the server stops."""
        self._timer.cancel()
        if self._is_over:
            return
        if grace_s:
            self._timer = self._loop.call_later(grace_s, self.close)
        else:
            self.fail(ConnectionAbortedError("closed by us"))

    def _news(self) -> asyncio.Future[None]:
        """Done once something has come. Raises: OSError: nothing will."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        return self._waiter

    def _check_silence(self) -> None:
        quiet_s = self._loop.time() - self._heard
        if quiet_s < self._silence_s:
            self._timer = self._loop.call_later(self._silence_s - quiet_s, self._check_silence)
        else:
            self.fail(TimeoutError(f"silent for {self._silence_s:g} s"))

    # Its connection calls the rest.

    def add(self, body: bytes) -> None:
        self._parts.append(body)

    def heard(self) -> None:
        """Once for each read from the network, when it has been taken apart."""
        self._heard = self._loop.time()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        self._is_over = True
        self._timer.cancel()

    def fail(self, error: OSError) -> None:
        """Nothing more will come; what has come can still be read."""
        self._error = self._error or error
        self._timer.cancel()
        self._connection.transport.abort()
        self.heard()


class _Connection(asyncio.Protocol):
    """Carries one reply after the other; joins the idle ones by itself when a reply is over."""

    transport: asyncio.Transport

    def __init__(self, open_ones: set[_Connection], idle: deque[_Connection]) -> None:
        self.idle_since = 0.0
        self._open = open_ones
        self._idle = idle
        self._parser = httptools.HttpResponseParser(self)
        self._reply: Reply | None = None

    def send(self, raw: bytes, reply: Reply) -> None:
        self._reply = reply
        self.transport.write(raw)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's derives from neither class
        self._open.add(self)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.transport.abort()
            if reply is not None:
                reply.fail(ConnectionError(f"what came is not HTTP: {error}"))
        else:
            if reply is not None:
                reply.heard()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        reply, self._reply = self._reply, None
        if reply is None:
            return
        if not reply.status:
            reply.fail(ConnectionDropped("the server closed the connection before it replied"))
        elif exc is None and not self._parser.should_keep_alive():
            reply.end()  # a body without a length ends with its connection; a cut-off one shows in what it holds
            reply.heard()
        else:
            reply.fail(ConnectionResetError("the server closed the connection"))

    # httptools calls the rest.

    def on_message_begin(self) -> None:
        if self._reply is None:
            self.transport.abort()  # an answer to nothing: whoever is there has lost count

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._reply is not None and status >= 200:  # others only announce the reply
            self._reply.status = status

    def on_body(self, body: bytes) -> None:
        if self._reply is not None:
            self._reply.add(body)

    def on_message_complete(self) -> None:
        if self._reply is None or not self._reply.status:
            return
        self._reply.end()
        self._reply = None
        if self._parser.should_keep_alive():
            self.idle_since = asyncio.get_running_loop().time()
            self._idle.append(self)
        else:
            self.transport.close()


def _lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
