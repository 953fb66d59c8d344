"""Reading what the Responses API sends, strictly: every object and event against the SDK's own types."""

from __future__ import annotations

import json
from typing import Any

import httpx
from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from openai.types.responses.responses_server_event import ResponsesServerEvent
from pydantic import TypeAdapter

from tests.serve.brains import PROBLEM

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)
_RESPONSE: TypeAdapter[Any] = TypeAdapter(Response)
_ITEMS: TypeAdapter[Any] = TypeAdapter(ResponseItemList)

Json = dict[str, Any]
ENDS = ("response.completed", "response.incomplete", "response.failed")
URL = "/v1/responses"
BODY: Json = {"model": "scripted", "input": PROBLEM}
ASK: Json = {
    "type": "function",
    "name": "ask_user",
    "parameters": {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
}
FINAL = "Six pens at 4 dollars each."


def checked_response(body: Json) -> Json:
    _RESPONSE.validate_python(body, strict=True)
    return body


def checked_items(body: Json) -> Json:
    _ITEMS.validate_python(body, strict=True)
    return body


def checked_event(event: Json, *, over_socket: bool = False) -> Json:
    parsed = (_SERVER_EVENT if over_socket else _EVENT).validate_python(event, strict=True)
    assert parsed.type == event["type"], "another event's shape"
    return event


def events_of(text: str, *, first: int = 0, done: bool = True) -> list[Json]:
    """The events of a stream, each checked: framing, numbers without gaps, the SDK's types."""
    blocks = text.split("\n\n")
    assert blocks.pop() == "" and (not done or blocks.pop() == "data: [DONE]")
    events = []
    for block in blocks:
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(checked_event(event))
    assert [e["sequence_number"] for e in events] == list(range(first, first + len(events)))
    return events


def assembled(events: list[Json]) -> Json:
    """The final response of a stream, after checking that the events before it tell of exactly its items, in order."""
    assert [e["type"] for e in events[:2]] == ["response.created", "response.in_progress"]
    final: Json = events[-1]["response"]
    assert events[-1]["type"] in ENDS and not any(e["type"] in ENDS for e in events[:-1])
    checked_response(final)
    done: list[Json] = []
    opened: Json | None = None
    texts: list[str] = []
    for event in events[2:-1]:
        kind = event["type"]
        if kind == "response.output_item.added":
            assert opened is None and event["output_index"] == len(done)
            assert event["item"]["status"] == "in_progress"
            opened, texts = event["item"], []
            continue
        assert opened is not None and event["output_index"] == len(done)
        if kind == "response.output_item.done":
            assert event["item"]["id"] == opened["id"] and event["item"]["type"] == opened["type"]
            done.append(event["item"])
            opened = None
        else:
            assert event["item_id"] == opened["id"]
            if kind.endswith(".delta"):
                texts.append(event["delta"])
            elif kind.endswith((".text.done", "_text.done")):
                assert event["text"] == "".join(texts)
            elif kind.endswith("arguments.done"):
                assert event["arguments"] == "".join(texts)
    assert opened is None and done == final["output"]
    return final


def output_text(response: Json) -> str:
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for item in messages for part in item["content"])


async def made(client: httpx.AsyncClient, **more: Any) -> Json:
    reply = await client.post(URL, json=BODY | more)
    assert reply.status_code == 200, reply.text
    return checked_response(reply.json())


async def streamed(client: httpx.AsyncClient, **more: Any) -> Json:
    reply = await client.post(URL, json=BODY | more | {"stream": True})
    assert reply.status_code == 200, reply.text
    return assembled(events_of(reply.text))
