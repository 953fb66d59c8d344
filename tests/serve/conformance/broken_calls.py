"""Gateways with one fault each in how they use a client's question tool: changes for `BreakingProxy`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from tests.serve.conformance.breaking_proxy import Fault, Json
from tests.serve.conformance.broken_gateways import messages_of
from tests.serve.conformance.broken_replies import refused


def in_calls(change: Callable[[Json], None]) -> Fault:
    """Changes each call of a reply, or each fragment of one, in either API."""

    def message(message: Json) -> None:
        for call in message.get("tool_calls", ()):
            change(call)
        for item in message.get("output", ()):
            if item["type"] == "function_call":
                change(item)

    return Fault(message=message)


def other_ids() -> Fault:
    """Gives calls ids that it does not know itself."""

    def change(call: Json) -> None:
        for key in ("id", "call_id"):
            if str(call.get(key)).startswith("call_"):
                call[key] = "call_1"

    return in_calls(change)


def two_calls() -> Fault:
    def message(message: Json) -> None:
        if message.get("tool_calls"):
            message["tool_calls"].append(message["tool_calls"][0] | {"index": 1})
        if "output" in message:
            message["output"] += [item for item in message["output"] if item["type"] == "function_call"]

    return Fault(message=message)


def own_schema() -> Fault:
    def change(call: Json) -> None:
        place = call.get("function", call)
        place["arguments"] = place.get("arguments", "").replace('"question"', '"prompt"')

    return in_calls(change)


def says_it_twice() -> Fault:
    """The question is in the call and beside it."""
    return Fault(message=lambda m: m.update(content=m["pir"]["question"]) if "question" in m.get("pir", {}) else None)


def stops() -> Fault:
    def whole(body: Json) -> None:
        for choice in body.get("choices", ()):
            choice["finish_reason"] = "stop"

    return Fault(whole=whole, stream=lambda t: t.replace('"finish_reason": "tool_calls"', '"finish_reason": "stop"'))


def call_after_the_end(text: str) -> str:
    events = text.split("\n\n")
    calls = [event for event in events if '"tool_calls": [' in event]
    rest = [event for event in events if event not in calls]
    return "\n\n".join([*rest[:-2], *calls, *rest[-2:]])


def results_only() -> Fault:
    """Does not see an answer in a plain message behind the call."""

    def request(body: Json, headers: dict[str, str]) -> None:
        messages = messages_of(body)
        for message, after in pairwise(messages):
            if after.get("role") == "user":
                for call in message.get("tool_calls", [message] if "arguments" in message else ()):
                    call["call_id" if "call_id" in call else "id"] = "call_1"
                    call.get("function", call)["arguments"] = '{"question": "What else?"}'

    return Fault(request=request)


def picky_about_calls() -> Fault:
    """Refuses results of calls that it did not make."""
    known: set[str] = set()

    def learn(message: Json) -> None:
        known.update(call["id"] for call in message.get("tool_calls", ()) if call.get("id"))

    def refuse(body: Json) -> tuple[int, Json] | None:
        answered = {m["tool_call_id"] for m in messages_of(body) if "tool_call_id" in m}
        return None if answered <= known else refused()

    return Fault(message=learn, refuse=refuse)


def makes_options_up() -> Fault:
    """Calls a tool whatever its schema demands."""
    simple = {"type": "object", "properties": {"question": {"type": "string"}}}

    def request(body: Json, headers: dict[str, str]) -> None:
        for tool in body.get("tools", ()):
            tool.get("function", tool)["parameters"] = simple

    return Fault(request=request)


def takes_all_for_answers() -> Fault:
    """A result that says that nobody answered goes to the model as it is."""

    def request(body: Json, headers: dict[str, str]) -> None:
        for message in messages_of(body):
            for key in ("content", "output"):
                if str(message.get(key)).startswith("{"):
                    message[key] = f"They said: {message[key]}"

    return Fault(request=request)
