"""Gateways with one fault each in the Responses API: changes for `BreakingProxy`."""

from __future__ import annotations

import re
from typing import Any

from tests.serve.conformance.breaking_proxy import Fault, Json
from tests.serve.conformance.broken_gateways import messages_of, tags_are_control
from tests.serve.conformance.broken_replies import conflict, in_stream, nothing, refused

ENDED_EVENT = 'data: {"type": "response.completed", "sequence_number": 99, "response": {}}'


def in_response(**changes: Any) -> Fault:
    """Of responses that have ended."""
    return Fault(message=lambda m: m.update(changes) if m.get("status") == "completed" else None)


def polite_response() -> Fault:
    def message(response: Json) -> None:
        for item in response.get("output", ()):
            if item["type"] == "message":
                item["content"][0]["text"] = f"Please: {item['content'][0]['text']}"

    return Fault(message=message)


def tags_in_reasoning() -> Fault:
    def message(response: Json) -> None:
        for item in response.get("output", ()):
            if item["type"] == "reasoning":
                item["content"][0]["text"] += "<asking>"

    return Fault(message=message)


def without_events(kind: str, *, once: bool = False) -> Fault:
    """Of this type."""

    def change(text: str) -> str:
        events = text.split("\n\n")
        found = [k for k, event in enumerate(events) if event.startswith(f"event: {kind}\n")]
        dropped = found[:1] if once else found
        return "\n\n".join(event for k, event in enumerate(events) if k not in dropped)

    return in_stream(change)


def without_items(*kinds: str) -> Fault:
    """Of the request."""

    def request(body: Json, headers: dict[str, str]) -> None:
        if isinstance(body.get("input"), list):
            body["input"] = [i for i in body["input"] if not isinstance(i, dict) or i.get("type") not in kinds]

    return Fault(request=request)


def forgets_items() -> Fault:
    """Every conversation is a new one."""

    def request(body: Json, headers: dict[str, str]) -> None:
        for item in messages_of(body):
            if item.get("role") == "assistant":
                item["content"] = "Something else?"

    return Fault(request=request)


def answered_once() -> Fault:
    seen: set[str] = set()

    def refuse(body: Json) -> tuple[int, Json] | None:
        previous = body.get("previous_response_id")
        if previous in seen:
            return conflict()
        seen.update([previous] if previous else [])
        return None

    return Fault(refuse=refuse)


def unknown_is_404() -> Fault:
    known: set[str] = set()

    def refuse(body: Json) -> tuple[int, Json] | None:
        previous = body.get("previous_response_id", "")
        return (404, refused()[1]) if previous and previous not in known else None

    return Fault(message=lambda m: known.update([m["id"]] if "id" in m else []), refuse=refuse)


def keeps_another() -> Fault:
    """What is read of a response is not what was sent."""
    sent: set[str] = set()

    def whole(body: Json) -> None:
        if body.get("id") in sent:
            body["usage"] = None
        sent.add(body.get("id", ""))

    return Fault(whole=whole)


def gap(text: str) -> str:
    return re.sub(r'"sequence_number": (\d+)', lambda m: f'"sequence_number": {int(m[1]) + (int(m[1]) > 3)}', text)


def early_pir() -> Fault:
    return Fault(message=lambda m: nothing(m.setdefault("pir", {"status": "in_progress"})))


def tags_end_it(role: str) -> Fault:
    """A closing tag in what a `role` writes ends the reasoning, and with it the reply."""
    chat = tags_are_control(role)

    def request(body: Json, headers: dict[str, str]) -> None:
        chat.request(body, headers)
        if "max_tokens" in body:
            body["max_output_tokens"] = body.pop("max_tokens")

    return Fault(request=request)


def in_events(old: str, new: str) -> Fault:
    return in_stream(lambda text: text.replace(old, new))
