"""What a stream of the Responses API must look like, event by event, so that every stock client reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pir_serve.conformance.surface import mapping, mappings, text
from pir_serve.conformance.wire import Raw

ENDS = ("response.completed", "response.incomplete", "response.failed")
_DELTAS = {
    "response.output_text.delta": ("response.output_text.done", "text"),
    "response.reasoning_text.delta": ("response.reasoning_text.done", "text"),
    "response.function_call_arguments.delta": ("response.function_call_arguments.done", "arguments"),
}
"""Of each kind of fragment: the event that brings the whole, and where it stands in there."""


def assembled(raw: Raw) -> Mapping[str, Any]:
    """The response that a stream ends with, or its error; nothing while it runs."""
    for event in reversed(_events(raw)):
        if event.get("type") in ENDS:
            return mapping(event.get("response"))
        if event.get("type") == "error":
            return {"error": event.get("error") or event}
    return {"object": "response"}


def faults(rule: str, raw: Raw) -> list[str]:
    check = {"framing": _framing, "order": _order, "content": _content}.get(rule)
    return list(check(raw)) if check else []


def _framing(raw: Raw) -> Iterator[str]:
    if raw.unfinished:
        yield "the stream ends inside an event: an empty line must follow the last"
    number = 0
    for frame in raw.frames:
        for line in frame.lines:
            if not line.startswith(("data:", "event:", ":")):
                yield f"a line begins with {line[:20]!r}: only `event:`, `data:` and comments are safe in every client"
        if frame.data is None or frame.data == "[DONE]":
            continue
        event = frame.json
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            yield f"an event is no object with a type: {frame.data[:80]}"
            continue
        named = [line[6:].strip() for line in frame.lines if line.startswith("event:")]
        if named != [event["type"]]:
            yield f"the event: line says {', '.join(named) or 'nothing'}, the event is {event['type']}"
        if event.get("sequence_number") != number:
            yield f"sequence_number is {event.get('sequence_number')!r} where {number} comes next"
        number += 1
    if not raw.frames or raw.frames[-1].data != "[DONE]":
        yield "the last event is not [DONE]"


def _order(raw: Raw) -> Iterator[str]:
    """Created, in progress, each item opened, filled and done before the next, and the end, once."""
    events = _events(raw)
    events = [event for event in events if event.get("type") != "response.queued"]  # of those in the background
    kinds = [text(event.get("type")) for event in events]
    if kinds[:2] != ["response.created", "response.in_progress"]:
        yield f"the stream begins with {', '.join(kinds[:2]) or 'nothing'}"
    if [kind for kind in kinds if kind in ENDS] != kinds[-1:]:
        yield "a stream ends with one of response.completed, response.incomplete and response.failed, once"
    ids = {text(mapping(e.get("response")).get("id")) for e in events if "response" in e}
    if len(ids) != 1:
        yield f"{len(ids)} different ids of a response in one stream"
    index, open_id = -1, ""
    for event, kind in zip(events, kinds, strict=True):
        if kind == "response.output_item.added":
            if open_id:
                yield f"an item is added while {open_id} is not done"
            index, open_id = index + 1, text(mapping(event.get("item")).get("id"))
        elif "response" in event:
            continue
        elif not open_id:
            yield f"{kind} outside of any item"
        elif event.get("item_id", open_id) != open_id:
            yield f"{kind} is of {event.get('item_id')!r} while {open_id} is open"
        if event.get("output_index", index) != index:
            yield f"{kind} has output_index {event.get('output_index')!r}, not {index}"
        if kind == "response.output_item.done":
            if mapping(event.get("item")).get("id") != open_id:
                yield f"another item is done than was added: {open_id}"
            open_id = ""
    if open_id:
        yield f"{open_id} is never done"


def _content(raw: Raw) -> Iterator[str]:
    """Fragments make the whole text, items that were done are the output, and `pir` is in the last event alone."""
    events = _events(raw)
    pieces: dict[tuple[str, Any], str] = {}
    for event in events:
        kind = text(event.get("type"))
        if kind in _DELTAS:
            place = (_DELTAS[kind][0], event.get("item_id"))
            pieces[place] = pieces.get(place, "") + text(event.get("delta"))
    for done, where in _DELTAS.values():
        for event in events:
            if event.get("type") == done and pieces.get((done, event.get("item_id")), "") != event.get(where):
                yield f"the fragments before {done} are {pieces.get((done, event.get('item_id')))!r:.100}"
    items = [event.get("item") for event in events if event.get("type") == "response.output_item.done"]
    final = mapping(events[-1].get("response")) if events else {}
    if items != final.get("output"):
        yield "the items that were done are not the output of the response"
    for item in mappings(final.get("output")):
        shown = "".join(text(part.get("text")) for part in mappings(item.get("content")))
        told = "".join(piece for (_, item_id), piece in pieces.items() if item_id == item.get("id"))
        if told != (shown or text(item.get("arguments"))):
            yield f"a {item.get('type')} has other text than its fragments: {told[:60]!r}"
    if not final.get("pir"):
        yield "the response at the end has no pir object"
    if any(mapping(event.get("response")).get("pir") for event in events[:-1]):
        yield "a pir object before the end, where its status is not known yet"


def _events(raw: Raw) -> list[Mapping[str, Any]]:
    return [frame.json for frame in raw.frames if isinstance(frame.json, dict)]
