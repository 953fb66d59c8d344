"""A person answers: in the terminal, or through any two functions that show a text and bring one back."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.simulators.base import Exchange, Intent, Response, SimulatorError
from evals.simulators.disclosure import given

_DONT_KNOW = re.compile(r"\b(?:don'?t|do not|can'?t|cannot) (?:know|say|tell|remember)|no idea|not sure", re.IGNORECASE)


def _show(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


@dataclass(slots=True)
class HumanUser:
    """Shows what the user wrote, what the user knows and the ask; takes one line. One ask at a time."""

    show: Callable[[str], None] = _show
    hear: Callable[[], str] = sys.stdin.readline
    """One line; empty at the end of input. Runs in a thread, so it may block."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        async with self._turn:
            self.show(_card(ask, intent, history))
            line = await asyncio.to_thread(self.hear)
        if not line:
            raise SimulatorError("the person has left: end of input")
        text = line.strip() or "I don't know."
        disclosed = given(text, intent.facts)
        return Response(
            text, disclosed, "answer" if disclosed else "dont_know" if _DONT_KNOW.search(text) else "unclear"
        )

    def describe(self) -> Mapping[str, Any]:
        return {"name": "human"}


def _card(ask: str, intent: Intent, history: Sequence[Exchange]) -> str:
    lines = ["", f"--- {intent.row_id}", f"You wrote: {intent.shown or intent.text}"]
    lines += [f"You know:  {fact.text}" for fact in intent.facts if fact.hidden]
    lines += [f"Asked: {exchange.ask}  You: {exchange.response.text}" for exchange in history]
    return "\n".join([*lines, f"The model asks: {ask}", "You (empty: I don't know): "])
