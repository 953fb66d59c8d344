"""HTTP and server-sent events as they are: nothing is repaired, so that faults of framing stay to be seen."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event (or comment), as its lines."""

    lines: tuple[str, ...]

    @property
    def data(self) -> str | None:
        """Its data lines joined; None for a comment, or an event without data."""
        values = [line[5:].removeprefix(" ") for line in self.lines if line.startswith("data:")]
        return "\n".join(values) if values else None

    @property
    def json(self) -> Any:
        """Its data as JSON; None where there is none or it is none."""
        return _json(self.data)


@dataclass(frozen=True, slots=True)
class Raw:
    """A reply as bytes went."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    text: str

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def frames(self) -> tuple[Frame, ...]:
        return split_frames(self.text)[0]

    @property
    def unfinished(self) -> str:
        """What follows the last empty line of a stream: nothing, if it ended well."""
        return split_frames(self.text)[1]

    @property
    def json(self) -> Any:
        return _json(self.text)


class Http:
    """One gateway. Raises what aiohttp raises: ClientError, TimeoutError."""

    def __init__(self, base_url: str, api_key: str | None = None, timeout_s: float = 120.0) -> None:
        """`base_url` with or without `/v1`."""
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._key = api_key
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        # A connection each: a gateway that drops one in the middle of a reply spoils no other check.
        self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True))

    async def aclose(self) -> None:
        await self._session.close()

    async def get(self, path: str) -> Raw:
        async with self._session.get(self._root + path, headers=self._headers()) as reply:
            return await _read(reply)

    async def delete(self, path: str) -> Raw:
        async with self._session.delete(self._root + path, headers=self._headers()) as reply:
            return await _read(reply)

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Raw:
        """`body` as JSON, or bytes as they are."""
        async with self._open(path, body, headers) as reply:
            return await _read(reply)

    async def follow(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Raw, None]:
        """The reply as far as it has come, after each piece, the last time whole; GET where there is no body. Leaving
        early closes the connection, as a client does that goes away."""
        async with self._open(path, body, headers) as reply:
            told, text = lower_headers(reply), b""
            async for piece in reply.content.iter_any():
                text += piece
                yield Raw(reply.status, told, text.decode("utf-8", "replace"))
            if not text:
                yield Raw(reply.status, told, "")

    @asynccontextmanager
    async def socket(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[aiohttp.ClientWebSocketResponse, None]:
        """Raises: aiohttp.WSServerHandshakeError where it is refused."""
        url = self._root.replace("http", "ws", 1) + path
        async with self._session.ws_connect(url, headers=self._headers() | dict(headers or {}), max_msg_size=0) as one:
            yield one

    @asynccontextmanager
    async def _open(
        self, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = self._headers() | {"Content-Type": "application/json"} | dict(headers or {})
        method = "GET" if body is None else "POST"
        async with self._session.request(method, self._root + path, data=data, headers=sent) as reply:
            yield reply

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"} if self._key else {}


def lower_headers(reply: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.headers.items()}


def split_frames(text: str) -> tuple[tuple[Frame, ...], str]:
    """The whole frames, and what is left after the last empty line."""
    blocks = text.replace("\r\n", "\n").split("\n\n")
    return tuple(Frame(tuple(block.split("\n"))) for block in blocks[:-1] if block), blocks[-1]


async def _read(reply: aiohttp.ClientResponse) -> Raw:
    return Raw(reply.status, lower_headers(reply), (await reply.read()).decode("utf-8", "replace"))


def _json(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
