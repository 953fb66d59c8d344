"""Between a run and its connection: reads events as they come, hands over all that has arrived, notices when the
client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Generic, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection; there is nobody to tell."""


class Pump(Generic[T]):
    """Runs `events` in a task of its own, so that a slow client, a silent engine and a closed connection do not block
    each other.

    Used as a context manager; leaving it ends the events, which aborts the engine. What arrived in one burst is taken
    as one list, and so becomes one write.
    """

    def __init__(self, events: AsyncGenerator[T, None], receive: Receive) -> None:
        self._events = events
        self._receive = receive
        self._arrived: list[T] = []
        self._gone = False
        self._ended = False
        self._error: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Pump[T]:
        self._running = asyncio.create_task(self._run())
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._watching.cancel()
        if not self._running.done():
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def take(self, patience_s: float | None = None) -> list[T] | None:
        """All that has arrived; an empty list after `patience_s` of silence; None when the events have ended.

        Raises:
            ClientGone: the connection is closed.
            Exception: what the events raised, after all that came before it was taken.
        """
        if not (self._arrived or self._ended or self._gone):
            self._waiting_since = self._loop.time()
            if patience_s is not None and self._timer is None:
                self._timer = self._loop.call_later(patience_s, self._check_patience, patience_s)
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._gone:
            raise ClientGone
        if self._arrived:
            taken, self._arrived = self._arrived, []
            return taken
        if self._error is not None:
            raise self._error
        return None if self._ended else []

    def _check_patience(self, patience_s: float) -> None:
        """One timer for all takes: starting and stopping one for each would cost more than handing over a token."""
        left_s = self._waiting_since + patience_s - self._loop.time()
        if left_s <= 0:
            self._wake()
            left_s = patience_s
        self._timer = self._loop.call_later(left_s, self._check_patience, patience_s)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _run(self) -> None:
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    self._arrived.append(event)
                    self._wake()
        except Exception as error:
            self._error = error
        finally:
            self._ended = True
            self._wake()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._wake()
