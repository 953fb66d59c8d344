"""A small HTTP client for measuring: raw asyncio, one request at a time on each connection, and the clock read on
every arrival. The gateway and the engine direct are called with the same code, so that its cost is on both sides."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast
from urllib.parse import urlsplit

import httptools
import orjson


class BadReply(Exception):
    """What came is not what was asked for: the measurement would be of something else."""


@dataclass(slots=True)
class Reply:
    """One exchange; times are `time.perf_counter()` in seconds."""

    began: float
    status: int = 0
    arrivals: list[float] = field(default_factory=list)
    """Of reads that brought some of the body."""
    first_text: float = math.nan
    """When the first text had come: the first event that holds the call's marker, or the whole of a plain reply."""
    ended: float = math.nan
    body: bytes = b""

    @property
    def first_ms(self) -> float:
        return (self.first_text - self.began) * 1e3

    @property
    def end_ms(self) -> float:
        return (self.ended - self.began) * 1e3

    @property
    def gaps_ms(self) -> list[float]:
        return [(b - a) * 1e3 for a, b in pairwise(self.arrivals)]


@dataclass(frozen=True)
class Call:
    """A request, laid out as bytes, and how to tell that its reply is right."""

    raw: bytes
    marker: re.Pattern[bytes] | None
    """Matches in the first event with text; None if the reply is no stream."""
    must_hold: bytes
    """Somewhere in the body."""

    def check(self, reply: Reply) -> None:
        """Raises: BadReply."""
        if reply.status != 200 or self.must_hold not in reply.body:
            raise BadReply(f"status {reply.status}, {self.must_hold!r} expected: {reply.body[-600:]!r}")


def post(url: str, path: str, body: dict[str, Any]) -> bytes:
    """A POST of JSON as bytes."""
    content = orjson.dumps(body)
    head = f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


class Connection(asyncio.Protocol):
    """Kept alive from one exchange to the next."""

    def __init__(self) -> None:
        self._done: asyncio.Future[Reply] | None = None

    @classmethod
    async def open(cls, url: str) -> Connection:
        host, _, port = urlsplit(url).netloc.partition(":")
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return connection

    async def exchange(self, call: Call) -> Reply:
        """Raises: BadReply."""
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._marker = call.marker
        self._seen = b""
        self._done = asyncio.get_running_loop().create_future()
        self._reply = Reply(began=time.perf_counter())
        self._transport.write(call.raw)
        reply = await self._done
        call.check(reply)
        if math.isnan(reply.first_text):
            raise BadReply(f"no text in it: {reply.body[:600]!r}")
        return reply

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derives from neither class

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(BadReply(f"the connection broke off: {exc}"))

    # httptools calls these two.
    def on_body(self, body: bytes) -> None:
        reply = self._reply
        if not reply.arrivals or reply.arrivals[-1] != self._now:
            reply.arrivals.append(self._now)
        self._body.append(body)
        if math.isnan(reply.first_text) and self._marker is not None:
            self._seen += body  # the marker may come in two reads
            if self._marker.search(self._seen):
                reply.first_text = self._now

    def on_message_complete(self) -> None:
        reply, done = self._reply, self._done
        assert done is not None
        reply.status = self._parser.get_status_code()
        reply.ended = self._now
        reply.body = b"".join(self._body)
        if self._marker is None:
            reply.first_text = self._now
        if not done.done():
            done.set_result(reply)


async def closed_loop(
    url: str, call: Callable[[int], Call], *, count: int, in_flight: int, spread_s: float = 0.0
) -> list[Reply]:
    """`count` exchanges, `in_flight` at a time; `call` gets the number of each. The first ones begin over `spread_s`.

    Raises:
        BadReply, OSError
    """
    numbers = iter(range(count))

    async def work(worker: int) -> list[Reply]:
        connection = await Connection.open(url)
        await asyncio.sleep(spread_s * worker / in_flight)
        try:
            return [await connection.exchange(call(k)) for k in numbers]
        finally:
            connection.close()

    replies = await asyncio.gather(*(work(worker) for worker in range(min(in_flight, count))))
    return [reply for some in replies for reply in some]


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank; nan where there are no values."""
    if not values:
        return math.nan
    ranked = sorted(values)
    return ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)]
