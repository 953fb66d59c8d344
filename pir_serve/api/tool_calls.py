"""Tool calls that a model writes into its answer as JSON in `<tool_call>` tags, as Hermes and Qwen models do."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from pir_serve.events import AnswerDelta
from pir_serve.loop import Ended

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_Event = TypeVar("_Event")


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A call for the client to make: of an ordinary tool, or of its question tool."""

    id: str
    name: str
    arguments: str
    """JSON."""


class ToolCallReader:
    """Takes calls out of an answer that streams. What is no call of a tool that was offered stays text."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._held = ""
        """What may yet become a tag, a call that is not whole, or white space that may stand before a call."""

    def feed(self, text: str) -> list[str | FunctionCall]:
        self._held += text
        out: list[str | FunctionCall] = []
        while (start := self._held.find(OPEN)) >= 0:
            end = self._held.find(CLOSE, start)
            if end < 0:
                self._say(out, self._held[:start].rstrip())
                self._held = self._held[len(self._held[:start].rstrip()) :]
                return out
            end += len(CLOSE)
            call = self._call(self._held[start + len(OPEN) : end - len(CLOSE)])
            self._say(out, self._held[:start].rstrip() if call else self._held[:end])
            if call:
                out.append(call)
            self._held = self._held[end:]
        keep = _possible_tag(self._held)
        safe = self._held[: len(self._held) - keep].rstrip()
        self._say(out, safe)
        self._held = self._held[len(safe) :]
        return out

    def finish(self) -> str:
        """The rest, which was no call after all; white space at the end says nothing."""
        rest, self._held = self._held.rstrip(), ""
        return rest

    def _call(self, text: str) -> FunctionCall | None:
        try:
            call = json.loads(text)
        except (ValueError, RecursionError):
            return None
        name = call.get("name") if isinstance(call, dict) else None
        if not isinstance(name, str) or name not in self._names:
            return None
        arguments = call.get("arguments", {})
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return FunctionCall(f"call_{secrets.token_hex(12)}", name, written)

    @staticmethod
    def _say(out: list[str | FunctionCall], text: str) -> None:
        if text:
            out.append(text)


async def with_calls(
    events: AsyncGenerator[_Event, None], names: Collection[str]
) -> AsyncGenerator[_Event | AnswerDelta | FunctionCall, None]:
    """The events of a run with the calls in its answer taken out of the text."""
    reader = ToolCallReader(names)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, AnswerDelta):
                for part in reader.feed(event.text):
                    yield AnswerDelta(part) if isinstance(part, str) else part
                continue
            if isinstance(event, Ended) and (rest := reader.finish()):
                yield AnswerDelta(rest)
            yield event


def _possible_tag(text: str) -> int:
    """Length of the end of `text` that may become the opening tag."""
    return next((n for n in range(min(len(OPEN) - 1, len(text)), 0, -1) if OPEN.startswith(text[-n:])), 0)
