"""Between the runs of a request and its connection: reads events as they come, hands over all that has arrived,
notices when the client has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Generic, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection; there is nobody to tell."""


class Pump(Generic[T]):
    """Runs each of `runs` in a task of its own, so that a slow client, a silent engine and a closed connection do not
    block each other.

    Used as a context manager; leaving it ends the runs, which aborts their engines. What arrived of a run in one burst
    is taken as one list, and so becomes one write.
    """

    def __init__(self, runs: Sequence[AsyncGenerator[T, None]], receive: Receive) -> None:
        self._runs = runs
        self._receive = receive
        self._arrived: dict[int, list[T]] = {}
        """Of each run, what has not been taken; no empty lists."""
        self._num_running = len(runs)
        self._gone = False
        self._error: BaseException | None = None
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Pump[T]:
        self._tasks = [asyncio.create_task(self._read(index, run)) for index, run in enumerate(self._runs)]
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._watching.cancel()
        if self._num_running:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take(self, patience_s: float | None = None) -> tuple[int, list[T]] | None:
        """(index of a run, all that has arrived of it); an empty list after `patience_s` of silence; None when all runs
        have ended.

        Raises:
            ClientGone: the connection is closed.
            Exception: what a run raised, after all that came before it was taken.
        """
        if not self._arrived and self._num_running and not self._gone and self._error is None:
            self._waiting_since = self._loop.time()
            if patience_s is not None and self._timer is None:
                self._timer = self._loop.call_later(patience_s, self._check_patience, patience_s)
            self._waiter = self._loop.create_future()
            await self._waiter
        if self._gone:
            raise ClientGone
        if self._arrived:
            index = next(iter(self._arrived))
            return index, self._arrived.pop(index)
        if self._error is not None:
            raise self._error
        return (0, []) if self._num_running else None

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

    async def _read(self, index: int, run: AsyncGenerator[T, None]) -> None:
        arrived = self._arrived
        try:
            async with aclosing(run):
                async for event in run:
                    if index in arrived:  # whoever is to take it has been woken
                        arrived[index].append(event)
                    else:
                        arrived[index] = [event]
                        self._wake()
        except Exception as error:
            self._error = self._error or error
        finally:
            self._num_running -= 1
            self._wake()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._wake()
