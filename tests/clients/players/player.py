"""What every Python player shares: a client told over its standard input what its user does, a line of JSON each time.

A player keeps each state of the conversation as its client's own message objects, so that what is sent again is what
that client really keeps.

    {"from": node or null, "text": "...", "stream": false, "first": "..."}   says `text` after `node`; `first` replaces
                                                                             the first message
    {"race": [such a line, ...]}                                             all at once

The reply to each is {"node": n, "text": what a user sees} or {"error": "..."}; to a race, {"race": [...]}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

_OUT, sys.stdout = sys.stdout, sys.stderr
"""What a package prints is not for whoever tells the player what to do."""

Say = Callable[[list[Any], bool], Awaitable[tuple[list[Any], str]]]
"""(messages, stream) -> what is to be appended to them, and the visible text of the reply. May put the last message
into the shape of an answer to a call."""


def play(say: Say, user: Callable[[str], Any]) -> None:
    """Until the input ends. `user` makes the client's message of a user's text."""
    asyncio.run(_play(say, user))


async def _play(say: Say, user: Callable[[str], Any]) -> None:
    nodes: list[list[Any]] = []

    async def one(line: dict[str, Any]) -> dict[str, Any]:
        messages = list(nodes[line["from"]]) if line.get("from") is not None else []
        if line.get("first"):
            messages[0] = user(line["first"])
        messages.append(user(line["text"]))
        try:
            added, text = await say(messages, bool(line.get("stream")))
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}
        nodes.append([*messages, *added])
        return {"node": len(nodes) - 1, "text": text}

    while raw := await asyncio.to_thread(sys.stdin.readline):
        line = json.loads(raw)
        reply = {"race": await asyncio.gather(*map(one, line["race"]))} if "race" in line else await one(line)
        print(json.dumps(reply), file=_OUT, flush=True)
