"""The events of one response in their order, and the output items that they tell of."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from pir_serve.api.responses.items import Item, new_id, output_text
from pir_serve.api.responses.objects import call_item, message_item, reasoning_item
from pir_serve.api.tool_calls import FunctionCall


class Event(NamedTuple):
    """One event: its type, and the whole of it as JSON."""

    type: str
    data: bytes

    @classmethod
    def of(cls, kind: str, number: int, **fields: Any) -> Event:
        return cls(kind, orjson.dumps({"type": kind, "sequence_number": number, **fields}))

    @classmethod
    def read(cls, data: bytes) -> Event:
        """From what was `data`."""
        return cls(orjson.loads(data)["type"], data)

    def sse(self) -> bytes:
        """No `id:` line: with keepalive comments that breaks the OpenAI Python SDK."""
        return b"event: " + self.type.encode() + b"\ndata: " + self.data + b"\n\n"


class EventWriter:
    """Items follow one another: a new one closes the one before. Each method returns the events of what it did."""

    def __init__(self, *, shows_reasoning: bool) -> None:
        self.output: list[Item] = []
        """Items that are done."""
        self.sequence = 0
        self._shows_reasoning = shows_reasoning
        self._kind = ""
        self._item_id = ""
        self._texts: list[str] = []

    def event(self, kind: str, **fields: Any) -> Event:
        self.sequence += 1
        return Event.of(kind, self.sequence - 1, **fields)

    def reasoning(self, text: str) -> list[Event]:
        if not self._shows_reasoning:
            return []
        out = [] if self._kind == "reasoning" else self._open("reasoning")
        self._texts.append(text)
        return [*out, self._part_event("response.reasoning_text.delta", delta=text)]

    def answer(self, text: str) -> list[Event]:
        out = [] if self._kind == "message" else [*self.close(), *self._open("message")]
        self._texts.append(text)
        return [*out, self._part_event("response.output_text.delta", delta=text, logprobs=[])]

    def question(self, text: str, call: FunctionCall | None, sealed: str | None) -> list[Event]:
        """The reasoning item, which carries the sealed state, then the question."""
        out = [] if self._kind == "reasoning" else self._open("reasoning")
        out += self.close(sealed=sealed)
        if call is None:
            return [*out, *self.answer(text), *self.close()]
        return [*out, *self.call(call)]

    def close(self, status: str = "completed", sealed: str | None = None) -> list[Event]:
        """End the item that is open, if one is."""
        kind, text = self._kind, "".join(self._texts)
        if not kind:
            return []
        out: list[Event] = []
        if kind == "message":
            part = output_text(text)
            out = [
                self._part_event("response.output_text.done", text=text, logprobs=[]),
                self._part_event("response.content_part.done", part=part),
            ]
            item = message_item(self._item_id, [part], status)
        else:
            if self._shows_reasoning:
                part = {"type": "reasoning_text", "text": text}
                out = [
                    self._part_event("response.reasoning_text.done", text=text),
                    self._part_event("response.content_part.done", part=part),
                ]
            item = reasoning_item(self._item_id, text if self._shows_reasoning else None, sealed, status)
        self._kind, self._texts = "", []
        return [*out, self._done(item)]

    def _open(self, kind: str) -> list[Event]:
        self._kind = kind
        self._texts = []
        if kind == "message":
            self._item_id = new_id("msg")
            item, part = message_item(self._item_id, [], "in_progress"), output_text("")
        else:
            self._item_id = new_id("rs")
            item, part = (
                reasoning_item(self._item_id, None, None, "in_progress"),
                {"type": "reasoning_text", "text": ""},
            )
        out = [self.event("response.output_item.added", output_index=len(self.output), item=item)]
        if kind == "message" or self._shows_reasoning:
            out.append(self._part_event("response.content_part.added", part=part))
        return out

    def call(self, call: FunctionCall) -> list[Event]:
        closing = self.close()
        self._item_id = new_id("fc")
        at = {"item_id": self._item_id, "output_index": len(self.output)}
        opened = call_item(self._item_id, call.id, call.name, "", "in_progress")
        return [
            *closing,
            self.event("response.output_item.added", output_index=len(self.output), item=opened),
            self.event("response.function_call_arguments.delta", **at, delta=call.arguments),
            self.event("response.function_call_arguments.done", **at, name=call.name, arguments=call.arguments),
            self._done(call_item(self._item_id, call.id, call.name, call.arguments, "completed")),
        ]

    def _part_event(self, kind: str, **fields: Any) -> Event:
        return self.event(kind, item_id=self._item_id, output_index=len(self.output), content_index=0, **fields)

    def _done(self, item: Item) -> Event:
        event = self.event("response.output_item.done", output_index=len(self.output), item=item)
        self.output.append(item)
        return event
