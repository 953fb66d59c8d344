"""Several servers of one model as one engine: legs of a session meet the same server, and one that dies costs a pause.

Which server a session belongs to is a hash of both (rendezvous), so all gateways agree without talking to each other,
and a server that leaves or joins moves only its own sessions. A leg that has produced nothing goes to another server
from here; one that has is taken up again by `pir_serve.leg`, from the ids received, and then meets another server here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from pir_serve.engines.base import Engine, LegRequest, TokenChunk
from pir_serve.engines.member import STRIKES, Member, State
from pir_serve.errors import (
    ConfigError,
    EngineBusy,
    EngineError,
    EngineMisconfigured,
    EngineProtocolError,
    EngineUnavailable,
)

log = logging.getLogger(__name__)

PROBE_S = 5.0
"""Between two looks at a server that seems well: a fifth of what people take for a hang."""
_AGAIN_S = 1.0
"""Until the next look at one that has just missed a probe or two."""
_MISSES = 3
"""Probes missed in a row, after which what still runs on a server is moved: its host may be gone without a word."""
_LONGEST_S = 60.0
"""Between two trials of a server that fails them."""
_FREE_LEGS = 8
"""On one server, up to which affinity alone decides."""
_SPREAD = 1.5
"""Beyond that, the most legs on one server, in means over all: hashing knows nothing of load, and a server that evicts
prefixes serves nobody's."""


class EnginePool:
    """See `Engine`. `check` is run on each server when it has started.

    Raises (check): ConfigError, where the server is not what we need.
    """

    def __init__(self, engines: Sequence[Engine], check: Callable[[Engine], Awaitable[None]]) -> None:
        self.members = tuple(Member(engine) for engine in engines)
        self.name = " + ".join(member.name for member in self.members)
        self.max_model_len = 0
        self._check = check
        self._watching: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        """With those servers that answer; the others join when they do.

        Raises:
            EngineUnavailable: none answers.
            ConfigError: one that does is not what we need.
        """
        faults = [f for f in await asyncio.gather(*map(self._begin, self.members)) if f is not None]
        if wrong := next((f for f in faults if isinstance(f, ConfigError)), None):
            raise wrong
        if len(faults) == len(self.members):
            raise EngineUnavailable("; ".join(str(fault) for fault in faults))
        for fault in faults:
            log.warning("going on without it: %s", fault)
        self._watching = [asyncio.create_task(self._watch(member)) for member in self.members]

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        """See `Engine.generate`."""
        tried: dict[Member, EngineError] = {}
        while True:
            member = await self._choose(request.session, tried)
            has_begun = False
            member.num_legs += 1
            try:
                async with contextlib.aclosing(_generator(member.engine, request)) as chunks:
                    async for chunk in chunks:
                        if chunk.finish_reason == "abort":
                            raise EngineUnavailable(f"{member.name} aborted the generation")
                        has_begun = True
                        yield chunk
                return
            except (EngineUnavailable, EngineProtocolError, EngineMisconfigured) as error:
                tried[member] = error
                if isinstance(error, EngineMisconfigured):
                    member.strikes = STRIKES  # its health probe knows nothing of keys and models; a trial does
                if not isinstance(error, EngineBusy):
                    log.warning("%s failed a leg: %s", member.name, error)
                    member.suspect()
                if has_begun:
                    raise EngineUnavailable(error.message) from error
            finally:
                member.num_legs -= 1
                if has_begun and member not in tried:  # a leg that is closed early has gone well too
                    member.strikes = 0

    async def healthy(self) -> bool:
        """Whether any server can be used, as last seen: no probe."""
        return any(member.state is State.UP for member in self.members)

    async def aclose(self) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._watching = []
        for member in self.members:
            await member.engine.aclose()

    async def _choose(self, session: str, tried: dict[Member, EngineError]) -> Member:
        """The best server that has not been tried. Waits for the verdict on suspects where there is no other.

        Raises:
            EngineUnavailable: there is none.
        """
        while True:
            left = [member for member in self.members if member not in tried]
            if up := [member for member in left if member.state is State.UP]:
                return self._best(up, session)
            if not any(member.state is State.SUSPECT for member in left):
                break
            self._news.clear()
            await self._news.wait()
        faults = list(tried.values())
        if faults and all(isinstance(fault, EngineBusy) for fault in faults):
            raise faults[-1]
        words = "; ".join(fault.message for fault in faults) or "none of its servers answers"
        raise EngineUnavailable(f"no engine for this model: {words}")

    def _best(self, members: list[Member], session: str) -> Member:
        if not session:
            return min(members, key=lambda member: member.num_legs)
        most = max(_FREE_LEGS, _SPREAD * sum(member.num_legs for member in members) / len(members))
        ranked = sorted(members, key=lambda member: _affinity(session, member.name), reverse=True)
        return next((member for member in ranked if member.num_legs < most), ranked[0])

    async def _begin(self, member: Member) -> EngineError | ConfigError | None:
        """Start a server; what is wrong with it."""
        try:
            await member.engine.start()
            await self._check(member.engine)
        except (EngineError, ConfigError) as error:
            return error
        member.restore()
        self.max_model_len = min(m.engine.max_model_len for m in self.members if m.engine.max_model_len)
        return None

    async def _watch(self, member: Member) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(member.wanted.wait(), self._pause_s(member))
            member.wanted.clear()
            try:
                await self._examine(member)
            except Exception:  # a watcher that dies would leave its server as it is for ever
                log.exception("%s could not be examined", member.name)
            self._news.set()

    def _pause_s(self, member: Member) -> float:
        """Until the next look, unless a leg fails before."""
        if 0 < member.missed < _MISSES:
            return min(_AGAIN_S, PROBE_S)
        return min(_LONGEST_S, PROBE_S * 2.0**member.failed_trials)

    async def _examine(self, member: Member) -> None:
        """Look whether a server is well; whether it was started anew, with another model perhaps, is found out too."""
        if not await member.engine.healthy():
            member.missed += 1
            if member.state is not State.DOWN and (member.state is State.SUSPECT or member.missed >= _MISSES):
                log.warning("%s does not answer its health probe: no legs for it", member.name)
                member.state = State.DOWN
            if member.missed == _MISSES and member.num_legs and await self.healthy():
                log.warning("%s is gone: %d legs go on elsewhere", member.name, member.num_legs)
                await member.engine.aclose()  # each of them takes that for its server's death
        elif member.state is State.DOWN or member.strikes >= STRIKES:
            member.state = State.DOWN
            if fault := await self._begin(member):
                member.failed_trials += 1
                log.warning("%s answers, but cannot be used: %s", member.name, fault)
            else:
                log.warning("%s is back", member.name)
        else:
            member.missed = 0
            member.state = State.UP


def _affinity(session: str, server: str) -> bytes:
    return hashlib.blake2b(f"{session}\0{server}".encode(), digest_size=8).digest()


def _generator(engine: Engine, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
    chunks = engine.generate(request)
    assert isinstance(chunks, AsyncGenerator)
    return chunks
