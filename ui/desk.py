"""What one browser tab looks at, and the running of one reply before its eyes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from ui.client import Gateway, GatewayError, Options, Piece
from ui.conversation import Conversation, Leg, conversation, newest_leaf

_REDRAW_S = 0.08
_TICK_S = 0.5
"""At least so often a running thought is drawn again, for its seconds."""


@dataclass
class Desk:
    """State of one tab; the gateway has everything that must outlive it."""

    session: dict[str, Any] | None = None
    """The gateway's tree; None before the first reply has ended."""
    shown: Conversation | None = None
    is_running: bool = False
    is_stopped: bool = False
    """The running reply is to end itself: only so do its last frame and what comes after it arrive in this order."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Spent up to each node, as far as this tab has seen it."""

    def look_at(self, session: dict[str, Any], leaf: str | None = None) -> Conversation:
        """Show a branch of a session: that of `leaf`, else the newest."""
        shown = conversation(session, leaf)
        self.session = session
        self.shown = replace(shown, seconds=self.seconds.get(shown.leaf or ""))
        return self.shown

    def switch(self, node: str) -> Conversation:
        """Follow another answer: the newest branch through `node`."""
        assert self.session is not None
        return self.look_at(self.session, newest_leaf(self.session, node))

    async def leave(self) -> None:
        """Stop what runs, and look at nothing."""
        self.is_stopped = True
        for _ in range(100):  # a reply looks every half second at the latest whether it is to end
            if not self.is_running:
                break
            await asyncio.sleep(0.05)
        self.session, self.shown = None, None


async def play(
    gateway: Gateway, before: Conversation, response: str | None, options: Options
) -> AsyncGenerator[Conversation]:
    """The conversation as one reply to it comes; the last one says how the reply ended.

    Where a question of `before` waits, `response` answers it (None: the model is to guess); else its problem is begun.

    Raises:
        GatewayError
    """
    waiting = before.waiting
    if waiting is not None:
        assert waiting.node is not None
        pieces = gateway.resume(waiting.node, response, options)
        before = before.responded(response)
    else:
        turns = [*before.earlier, ("user", before.problem)]
        pieces = gateway.begin([{"role": role, "content": text} for role, text in turns], options)
    leg = Leg()
    yield leg.onto(before)
    async with contextlib.aclosing(_paced(pieces)) as bursts:
        async for burst in bursts:
            for piece in burst:
                leg.take(piece)
            leg.tick()
            yield leg.onto(before)
    if leg.pir is None:
        raise GatewayError("The reply ended without saying how it ended.")


async def settle(gateway: Gateway, desk: Desk, ended: Conversation) -> Conversation:
    """Show what the gateway has kept of a reply that has just ended; what it does not keep is shown as it came."""
    desk.shown = ended
    tree = None if ended.leaf is None else await gateway.kept(ended.leaf)
    if tree is None or ended.leaf is None:
        return ended
    if ended.seconds is not None:
        desk.seconds[ended.leaf] = ended.seconds
    return desk.look_at(tree, ended.leaf)


async def _paced(pieces: AsyncIterator[Piece]) -> AsyncGenerator[list[Piece]]:
    """The pieces in bursts, as often as the page is worth drawing; empty ones while nothing comes."""
    queue: asyncio.Queue[Piece | None] = asyncio.Queue()

    async def read() -> None:
        try:
            async for piece in pieces:
                queue.put_nowait(piece)
        finally:
            queue.put_nowait(None)

    reader = asyncio.create_task(read())
    try:
        is_open = True
        while is_open:
            burst: list[Piece] = []
            until = time.monotonic() + _TICK_S
            while (left := until - time.monotonic()) > 0:
                try:
                    piece = await asyncio.wait_for(queue.get(), left)
                except TimeoutError:
                    break
                if piece is None:
                    is_open = False
                    break
                if not burst:
                    until = min(until, time.monotonic() + _REDRAW_S)
                burst.append(piece)
            yield burst
        await reader
    finally:
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError, GatewayError):
            await reader
