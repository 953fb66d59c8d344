"""`response.steer`: what a user says while a response is being made."""

from __future__ import annotations

from collections import deque
from typing import Any

from pir_serve.api.conversation import Said
from pir_serve.api.responses.items import new_id, read_input, said_of
from pir_serve.api.responses.writer import Event
from pir_serve.errors import RequestError
from pir_serve.loop import Mailbox
from pir_serve.steering import Phase

_WHY = {
    "response_not_found": "no response with this id has been made on this connection",
    "invalid_input": "input must be text, or messages of the user with text",
    "too_many_pending_steers": "too much is waiting already to go into this reasoning",
    "response_not_active": "the reasoning has ended, or goes on as another response",
    "response_already_completed": "the response has ended; go on from it with response.create",
}


class Steering:
    """Of one run: what was accepted and has not gone in yet."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self._pending: deque[tuple[str, str, Any]] = deque()

    def offer(self, response_id: str, steer_input: Any) -> tuple[str, dict[str, Any]]:
        """Type and fields of the event that answers a `response.steer`."""
        text = _text(steer_input)
        if text is None:
            return failed("invalid_input", response_id, steer_input)
        if not self.mailbox.steer(text):
            return failed(_refusal(self.mailbox), response_id, steer_input)
        steer_id = new_id("steer")
        self._pending.append((steer_id, response_id, steer_input))
        return "response.steer.accepted", {"steer": {"id": steer_id, "previous_response_id": response_id}}

    def delivered(self) -> None:
        """The first of them has gone in."""
        self._pending.popleft()

    def undelivered(self) -> list[tuple[str, dict[str, Any]]]:
        """Events for what cannot go in any more, now that the run has ended."""
        left = [failed("response_already_completed", r, given, steer_id=s) for s, r, given in self._pending]
        self._pending.clear()
        return left


def failed(code: str, response_id: str, steer_input: Any, *, steer_id: str | None = None) -> tuple[str, dict[str, Any]]:
    steer = {"previous_response_id": response_id, "input": _returned(steer_input)}
    if steer_id is not None:
        steer["id"] = steer_id
    error = {"type": "invalid_request_error", "code": code, "message": _WHY[code]}
    return "response.steer.failed", {"error": error, "steer": steer}


def numbered(number: int, answer: tuple[str, dict[str, Any]]) -> Event:
    kind, fields = answer
    return Event.of(kind, number, **fields)


def _refusal(mailbox: Mailbox) -> str:
    if mailbox.phase is Phase.REASONING:
        return "too_many_pending_steers"
    return "response_not_active" if mailbox.phase is Phase.ANSWERING else "response_already_completed"


def _text(steer_input: Any) -> str | None:
    """What the user says; None if it is not that."""
    if not isinstance(steer_input, str | list):
        return None
    try:
        said: list[Said] = said_of(read_input(steer_input))
    except RequestError:
        return None
    text = "\n\n".join(one.text for one in said)
    return text if text.strip() and all(one.role == "user" for one in said) else None


def _returned(steer_input: Any) -> Any:
    """The client's own input, where it can stand in an event of the SDK's types."""
    if isinstance(steer_input, str):
        return steer_input
    try:
        items = read_input(steer_input) if isinstance(steer_input, list) else ()
    except RequestError:
        return ""
    known = [item for item in items if item.get("role") == "user" or item["type"] == "function_call_output"]
    return known if len(known) == len(items) else ""
