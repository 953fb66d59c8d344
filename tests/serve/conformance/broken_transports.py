"""Gateways with one fault each in how the Responses API travels: over WebSockets, and in the background."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.serve.conformance.breaking_proxy import Fault, Json
from tests.serve.conformance.broken_gateways import blind_to
from tests.serve.conformance.broken_replies import in_pir, refused
from tests.serve.conformance.broken_responses import answered_once


def gap_in_messages() -> Fault:
    def event(event: Json) -> Json:
        number = event["sequence_number"]
        return event | {"sequence_number": number + (number > 3)}

    return Fault(event=event)


def without_messages(kind: str) -> Fault:
    """Of this type."""
    return Fault(event=lambda event: None if event["type"] == kind else event)


def hangs_up() -> Fault:
    """After the first mistake."""
    return Fault(closes=True)


def cannot_be_steered() -> Fault:
    return Fault(refuse=lambda body: refused() if body["type"] == "response.steer" else None)


def starts_over() -> Fault:
    """What was said while it reasoned begins another reasoning."""

    def event(event: Json) -> Json:
        if event["type"] == "response.created":
            event["response"]["previous_response_id"] = None
        return event

    return Fault(event=event)


def other_codes() -> Fault:
    def event(event: Json) -> Json:
        if event["type"] == "response.steer.failed":
            event["error"]["code"] = "server_error"
        return event

    return Fault(event=event)


def loses_what_was_said() -> Fault:
    def event(event: Json) -> Json:
        if event["type"] == "response.steer.failed":
            event["steer"].pop("input")
        return event

    return Fault(event=event)


def status_changed(old: str, new: str) -> Fault:
    return Fault(whole=lambda body: body.update(status=new) if body.get("status") == old else None)


def replays_all() -> Fault:
    """Whatever number the client has come to."""
    return Fault(query=lambda query: re.sub(r"&?starting_after=\d+", "", query))


def answers_at_once() -> Fault:
    """Knows nothing of the background."""
    return blind_to(field="background")


TRANSPORT_FAULTS: dict[str, tuple[int, str, Callable[[], Fault]]] = {
    "a gap in the numbers of messages": (207, "responses-socket", gap_in_messages),
    "items over a WebSocket that are never done": (
        208, "responses-socket", lambda: without_messages("response.output_item.done"),
    ),
    "nobody is told how a question was found": (301, "responses-socket", lambda: in_pir(resume=None)),
    "one tab wins with its WebSocket": (403, "responses-socket", answered_once),
    "answered once on a connection": (421, "responses-socket", answered_once),
    "a mistake ends the connection": (422, "responses-socket", hangs_up),
    "nothing can be said meanwhile": (423, "responses-socket", cannot_be_steered),
    "what is said meanwhile starts over": (423, "responses-socket", starts_over),
    "too late with another code": (424, "responses-socket", other_codes),
    "too late and lost": (424, "responses-socket", loses_what_was_said),
    "a response that seems to have ended": (425, "responses-background", lambda: status_changed("queued", "completed")),
    "begun and ended in one": (425, "responses-background", answers_at_once),
    "a replay from the beginning": (426, "responses-background", replays_all),
    "events missing behind a lost connection": (207, "responses-background", replays_all),
    "cancelled and not": (427, "responses-background", lambda: status_changed("cancelled", "in_progress")),
    "kept though nothing is stored": (428, "responses-background", lambda: blind_to(field="store")),
    "one tab wins in the background": (403, "responses-background", answered_once),
}  # fmt: skip
