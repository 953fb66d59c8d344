"""A person answers: in the terminal, on a page, or through any function that shows a card and brings a line back."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock, Thread
from typing import Any

from evals.simulators.base import Exchange, Intent, Response, SimulatorError
from evals.simulators.disclosure import given

_DONT_KNOW = re.compile(r"\b(?:don'?t|do not|can'?t|cannot) (?:know|say|tell|remember)|no idea|not sure", re.IGNORECASE)
DONT_KNOW = "I don't know."
"""What an empty line says."""
_ONE_PERSON = Lock()
"""There is one, whatever number of users a run has made: one for each repeat."""


@dataclass(frozen=True, slots=True)
class Card:
    """All that the person needs to answer, and nothing of the right answer."""

    row_id: str
    told: str
    """What the user wrote, which the model has read."""
    knows: tuple[str, ...]
    """What it lacks: facts for the person to tell."""
    history: tuple[tuple[str, str], ...]
    """Earlier asks of this conversation, and their responses."""
    ask: str

    def __str__(self) -> str:
        lines = ["", f"--- {self.row_id}", f"You wrote: {self.told}"]
        lines += [f"You know:  {fact}" for fact in self.knows]
        lines += [f"Asked: {ask}  You: {response}" for ask, response in self.history]
        return "\n".join([*lines, f"The model asks: {self.ask}", "You (empty: I don't know): "])


def _show(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _hear() -> str:
    """A line of standard input, read past Python's own buffer: whoever waits in that keeps Python from ending."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    return line.decode(errors="replace")


async def _left_behind(call: Callable[[], str]) -> str:
    """What `call` brings, from a thread that nobody waits for when the run is stopped."""
    brought: Future[str] = Future()

    def work() -> None:
        try:
            said = call()
        except BaseException as error:
            if not brought.cancelled():
                brought.set_exception(error)
        else:
            if not brought.cancelled():
                brought.set_result(said)

    Thread(target=work, daemon=True).start()
    return await asyncio.wrap_future(brought)


@dataclass(slots=True)
class HumanUser:
    """Shows what the user wrote, what the user knows and the ask; takes one line. One ask at a time."""

    show: Callable[[str], None] = _show
    hear: Callable[[], str] = _hear
    """One line; empty at the end of input. Runs in a thread, so it may block."""
    converse: Callable[[Card], str] | None = None
    """Shows a card and brings the line, in the place of these two; as `hear`."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        knows = tuple(fact.text for fact in intent.facts if fact.hidden)
        before = tuple((exchange.ask, exchange.response.text) for exchange in history)
        card = Card(intent.row_id, intent.shown or intent.text, knows, before, ask)
        async with self._turn:
            line = await _left_behind(lambda: self._converse(card))
        if not line:
            raise SimulatorError("the person has left: end of input")
        text = line.strip() or DONT_KNOW
        disclosed = given(text, intent.facts)
        return Response(
            text, disclosed, "answer" if disclosed else "dont_know" if _DONT_KNOW.search(text) else "unclear"
        )

    def describe(self) -> Mapping[str, Any]:
        return {"name": "human"}

    def _converse(self, card: Card) -> str:
        with _ONE_PERSON:
            if self.converse is not None:
                return self.converse(card)
            self.show(str(card))
            return self.hear()
