"""Gateways with one fault each on a surface of their own: question tools and the Responses API."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from tests.serve.breaking_proxy import Fault, Json
from tests.serve.broken_gateways import (
    blind_to,
    conflict,
    messages_of,
    refused,
    side_calls_unknown,
    tags_are_control,
    used_up,
)
from tests.serve.broken_replies import end_with, in_pir, in_stream, no_header, nothing, wrong_sum

# -- question tools


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


# -- the Responses API

_COMPLETED = 'data: {"type": "response.completed", "sequence_number": 99, "response": {}}'


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


SURFACE_FAULTS: dict[str, tuple[int, str, Callable[[], Fault]]] = {
    "a call that ends with stop": (101, "chat-tool", stops),
    "the question in the call and beside it": (102, "chat-tool", says_it_twice),
    "no pir.session with a call": (103, "chat-tool", lambda: in_pir(session=None)),
    "two calls": (108, "chat-tool", two_calls),
    "a schema of its own": (108, "chat-tool", own_schema),
    "two calls in a response": (108, "responses-tool", two_calls),
    "a call after the end": (202, "chat-tool", lambda: in_stream(call_after_the_end)),
    "ids of calls of no use": (305, "chat-tool", other_ids),
    "ids of calls of no use in a response": (305, "responses-tool", lambda: without_items("function_call_output")),
    "no opaque state with a call": (304, "chat-tool", lambda: Fault(message=lambda m: nothing(m.pop("reasoning_details", 0)))),
    "a plain message is no answer": (312, "chat-tool", results_only),
    "a plain message is no answer to a response": (312, "responses-tool", results_only),
    "one tab wins with its call": (403, "chat-tool", used_up),
    "unknown calls refused": (418, "chat-tool", picky_about_calls),
    "ask_via ignored": (510, "chat-tool", lambda: blind_to(key="ask_via")),
    "ask_via ignored in a response": (510, "responses-tool", lambda: blind_to(key="ask_via")),
    "options made up": (511, "chat-tool", makes_options_up),
    "options made up in a response": (511, "responses-tool", makes_options_up),
    "a declined question answered": (512, "chat-tool", takes_all_for_answers),
    "a declined question answered in a response": (512, "responses-tool", takes_all_for_answers),
    "a question as an incomplete response": (101, "responses", lambda: in_response(status="incomplete")),
    "words around the question of a response": (102, "responses", polite_response),
    "a response without pir.session": (103, "responses", lambda: in_pir(session=None)),
    "a response without X-PIR-Resume": (104, "responses", lambda: no_header("x-pir-resume")),
    "a response without X-PIR-Status": (105, "responses", lambda: no_header("x-pir-status")),
    "usage of a response that does not add up": (107, "responses", wrong_sum),
    "tags shown in a response": (106, "responses", tags_in_reasoning),
    "no metadata": (109, "responses", lambda: in_response(metadata={})),
    "no state in a stream of events": (205, "responses", lambda: in_events('"encrypted_content": "', '"content": "')),
    "id lines among events": (207, "responses", lambda: in_events("data: {", "id: 7\ndata: {")),
    "events without their names": (207, "responses", lambda: in_stream(lambda t: re.sub(r"(?m)^event: .*\n", "", t))),
    "a gap in the numbers": (207, "responses", lambda: in_stream(gap)),
    "events without [DONE]": (207, "responses", lambda: in_events("data: [DONE]\n\n", "")),
    "items that are never done": (208, "responses", lambda: without_events("response.output_item.done")),
    "no beginning": (208, "responses", lambda: without_events("response.in_progress")),
    "two ends": (208, "responses", lambda: in_stream(lambda t: end_with(t, _COMPLETED))),
    "a fragment lost": (209, "responses", lambda: without_events("response.output_text.delta", once=True)),
    "a call's arguments lost": (
        209, "responses-tool", lambda: without_events("response.function_call_arguments.delta", once=True),
    ),
    "pir before it is known": (209, "responses", early_pir),
    "echoed items forgotten": (301, "responses", forgets_items),
    "session ignored in a response": (302, "responses", lambda: blind_to(key="session")),
    "encrypted_content unread": (304, "responses", lambda: without_items("reasoning")),
    "encrypted_content of no use by itself": (306, "responses", lambda: without_items("reasoning")),
    "store ignored": (313, "responses", lambda: blind_to(field="store")),
    "previous_response_id ignored": (314, "responses", lambda: blind_to(field="previous_response_id")),
    "a response answered once": (402, "responses", answered_once),
    "one tab wins with its response": (403, "responses", answered_once),
    "an unknown response is 404": (411, "responses", unknown_is_404),
    "strict ignored in a response": (413, "responses", lambda: blind_to(key="strict")),
    "another response kept than sent": (419, "responses", keeps_another),
    "instructions inherited": (420, "responses", lambda: in_response(instructions="You help with sums.")),
    "questions where text.format wants JSON": (506, "responses", lambda: blind_to(field="text")),
    "a question as title in a response": (508, "responses", side_calls_unknown),
    "tags in a response's problem end the reasoning": (602, "responses", lambda: tags_end_it("user")),
    "tags in system text of a response end the reasoning": (603, "responses", lambda: tags_end_it("system")),
    "types not looked at in a response": (702, "responses", lambda: blind_to(field="temperature")),
}  # fmt: skip
