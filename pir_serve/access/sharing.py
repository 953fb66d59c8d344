"""Keeps the limiters of processes that share a store in step: each tells what its keys have used, and learns what the
others' have, in the background. No request waits for it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from pir_serve.access.limits import Limiter
from pir_serve.access.tally import Tallies, Tally
from pir_serve.errors import StoreError

logger = logging.getLogger(__name__)

EVERY_S = 1.0
"""Between two exchanges: what a key can use beyond its limits is what it uses in that time of the other processes."""
_LONGEST_S = 30.0
"""Between two attempts while the store cannot be used; each process counts for itself meanwhile."""
_KEPT_S = 600.0
"""A tally outlives its process by this much, so that a restart is no way to a new minute."""


class Sharing:
    """`now` tells Unix seconds; they may jump."""

    def __init__(self, limiter: Limiter, tallies: Tallies, *, now: Callable[[], float] = time.time) -> None:
        self._limiter = limiter
        self._tallies = tallies
        self._now = now
        self._owner = secrets.token_hex(8)
        self._last = Tally(self._owner, 0, 0.0)
        self._works = True

    async def exchange(self) -> None:
        """Once. A store that cannot be used is logged, when that begins."""
        try:
            await self._exchange()
        except StoreError as error:
            if self._works:
                logger.warning("limits of keys are counted by this process alone for now: %s", error)
            self._works = False
        else:
            self._works = True

    async def go_on(self) -> None:
        """For ever; idle until a key with limits has been seen."""
        pause_s = EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            if self._limiter.is_used:
                await self.exchange()
                pause_s = EVERY_S if self._works else min(_LONGEST_S, 2 * pause_s)

    async def conclude(self) -> None:
        """Tell the last, unless that would only be waited for."""
        if self._limiter.is_used and self._works:
            await self.exchange()

    async def _exchange(self) -> None:
        """Raises: StoreError."""
        spent, streams = self._limiter.tally()
        if spent or streams or self._last.spent or self._last.streams:
            tally = Tally(self._owner, self._last.beat + 1, self._now(), spent, streams)
            await self._tallies.put(tally, oldest=self._now() - _KEPT_S)
            self._last = tally
        self._limiter.learn(await self._tallies.others(self._owner), wall_s=self._now())
