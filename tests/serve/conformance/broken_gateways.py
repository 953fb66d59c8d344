"""Gateways with one fault each, and the number of the check that must notice it: changes for `BreakingProxy`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from tests.serve.conformance.breaking_proxy import Fault, Json
from tests.serve.conformance.broken_replies import (
    bare_errors,
    conflict,
    end_with,
    expires_early,
    in_pir,
    in_stream,
    no_header,
    nothing,
    pir_first,
    pir_in_pieces,
    polite,
    refused,
    tags_shown,
    unknown_finish,
    wrong_sum,
)


def messages_of(body: Json) -> list[Json]:
    """Or the items of a request of the Responses API."""
    found = body.get("messages", body.get("input"))
    return [m for m in found if isinstance(m, dict)] if isinstance(found, list) else []


def blind_to(*, key: str = "", header: str = "", field: str = "") -> Fault:
    """Does not know a key of `pir`, a header, a field."""

    def request(body: Json, headers: dict[str, str]) -> None:
        if isinstance(body.get("pir"), dict):
            body["pir"].pop(key, None)
        for name in [n for n in headers if n.lower() == header]:
            del headers[name]
        body.pop(field, None)

    return Fault(request=request)


def forgetful(when: Callable[[Json], bool] = lambda body: True, *, denied: bool = False) -> Fault:
    """Every conversation (`when` ...) is a new one, as with a gateway that keeps no state; `denied`: it says
    otherwise."""

    def request(body: Json, headers: dict[str, str]) -> None:
        for message in messages_of(body) if when(body) else ():
            if message.get("role") == "assistant":
                message["content"] = f"{message.get('content')} "[::-1] + "?"
                message.pop("reasoning_details", None)

    def lie(headers: dict[str, str]) -> None:
        if headers.get("x-pir-resume") == "rebuilt":
            headers["x-pir-resume"] = "hash"

    return Fault(request=request, headers=lie if denied else nothing)


def always_resumed() -> Fault:
    return Fault(headers=lambda h: h.update({"x-pir-resume": "hash"}) if h.get("x-pir-resume") == "rebuilt" else None)


def says_rebuilt() -> Fault:
    return Fault(headers=lambda h: h.update({"x-pir-resume": "rebuilt"}) if "x-pir-resume" in h else None)


def by_question_only() -> Fault:
    """Finds a question by its words alone, whatever was said before it."""
    sessions: dict[str, str] = {}

    def learn(message: Json) -> None:
        if "session" in message.get("pir", {}):
            sessions[message["pir"]["question"]] = message["pir"]["session"]

    def request(body: Json, headers: dict[str, str]) -> None:
        said = [m.get("content") for m in messages_of(body) if m.get("role") == "assistant"]
        if said and said[-1] in sessions:
            body["pir"] = {"session": sessions[said[-1]]}

    return Fault(message=learn, request=request)


def used_up(*, whole_conversation: bool = False) -> Fault:
    """A question is answered once; `whole_conversation`: the same request is answered once."""
    seen: set[str] = set()

    def refuse(body: Json) -> tuple[int, Json] | None:
        messages = messages_of(body)
        if len(messages) < 3:
            return None
        key = json.dumps(messages if whole_conversation else messages[:-1])
        if key in seen:
            return conflict()
        seen.add(key)
        return None

    return Fault(refuse=refuse)


def stored_late() -> Fault:
    """A question cannot be answered in the first moment."""
    asked: dict[str, float] = {}

    def learn(message: Json) -> None:
        if "session" in message.get("pir", {}):
            asked[message["pir"]["session"]] = time.monotonic()

    def refuse(body: Json) -> tuple[int, Json] | None:
        session = body["pir"].get("session") if isinstance(body.get("pir"), dict) else None
        return refused() if time.monotonic() - asked.get(session, 0) < 0.5 else None

    return Fault(message=learn, refuse=refuse)


def no_node_of_answers() -> Fault:
    def change(message: Json) -> None:
        if message.get("pir", {}).get("status") == "completed":
            del message["pir"]["node"]

    return Fault(message=change)


def one_question_for_all() -> Fault:
    """Tells of the session that it told of first."""
    first: list[str] = []

    def change(message: Json) -> None:
        if "session" in message.get("pir", {}):
            first.append(message["pir"]["session"])
            message["pir"]["session"] = first[0]

    return Fault(message=change)


def picky_about_state() -> Fault:
    """Refuses opaque state that it did not give."""

    def refuse(body: Json) -> tuple[int, Json] | None:
        states = [m["reasoning_details"] for m in messages_of(body) if "reasoning_details" in m]
        sound = [
            isinstance(s, list) and all(isinstance(d, dict) and isinstance(d.get("data"), str) for d in s)
            for s in states
        ]
        return None if all(sound) else refused()

    return Fault(refuse=refuse)


def first_system_text_counts() -> Fault:
    """Takes a conversation without system text for another one."""

    def request(body: Json, headers: dict[str, str]) -> None:
        if all(m.get("role") != "system" for m in messages_of(body)):
            messages_of(body) and body["messages"].insert(0, {"role": "system", "content": "None."})

    return Fault(request=request)


def deaf_to_systems() -> Fault:
    def request(body: Json, headers: dict[str, str]) -> None:
        if messages_of(body):
            body["messages"] = [m for m in body["messages"] if not isinstance(m, dict) or m.get("role") != "system"]

    return Fault(request=request)


def tags_are_control(role: str) -> Fault:
    """A closing tag in what a `role` writes ends the reasoning, and with it the reply."""

    def request(body: Json, headers: dict[str, str]) -> None:
        said = [str(m.get("content")) for m in messages_of(body) if m.get("role") == role]
        if any("</think>" in text for text in said):
            body["max_tokens"] = 1

    return Fault(request=request)


def body_change(**changes: Any) -> Fault:
    return Fault(request=lambda body, headers: body.update(changes))


def pir_change(when: Callable[[Json], bool] = lambda body: True, **changes: Any) -> Fault:
    def request(body: Json, headers: dict[str, str]) -> None:
        if isinstance(body.get("pir", {}), dict) and when(body):
            body["pir"] = body.get("pir", {}) | changes

    return Fault(request=request)


def alias_asks() -> Fault:
    return Fault(request=lambda body, headers: body.update(model=str(body.get("model")).removesuffix(":no-ask")))


def side_calls_unknown() -> Fault:
    def request(body: Json, headers: dict[str, str]) -> None:
        for message in messages_of(body):
            message["content"] = str(message.get("content")).replace("<chat_history>", "")

    return Fault(request=request)


def guesses_what_was_meant() -> Fault:
    """Answers a conversation in which the user has not spoken last."""

    def request(body: Json, headers: dict[str, str]) -> None:
        if isinstance(body.get("messages"), list) and (not body["messages"] or messages_of(body)[-1]["role"] != "user"):
            body["messages"].append({"role": "user", "content": "Go on."})

    return Fault(request=request)


def knows_every_field() -> Fault:
    return Fault(refuse=lambda body: refused() if "x_unknown" in body else None)


def has(header_words: str) -> Callable[[Json], bool]:
    return lambda body: header_words in json.dumps(messages_of(body))


def replies(body: Json) -> bool:
    return len(messages_of(body)) > 2


def extra_spaces(body: Json) -> bool:
    return any(str(m.get("content")).startswith("  ") for m in messages_of(body))


FAULTS: dict[str, tuple[int, Callable[[], Fault]]] = {
    "an unknown finish reason": (101, unknown_finish),
    "words around the question": (102, polite),
    "no pir.session": (103, lambda: in_pir(session=None)),
    "the pir object dropped": (103, lambda: Fault(message=lambda m: nothing(m.pop("pir", 0)))),
    "a question that is over when it is asked": (103, lambda: in_pir(expires_at=1)),
    "no X-PIR-Resume": (104, lambda: no_header("x-pir-resume")),
    "no X-PIR-Status": (105, lambda: no_header("x-pir-status")),
    "tags shown": (106, tags_shown),
    "usage that does not add up": (107, wrong_sum),
    "an answer that is kept under no id": (110, no_node_of_answers),
    "one id for all that is kept": (110, lambda: in_pir(node="pir_one")),
    "id lines": (201, lambda: in_stream(lambda t: t.replace("data: ", "id: 7\ndata: "))),
    "event lines": (201, lambda: in_stream(lambda t: end_with(t, "event: pir", "data: {}"))),
    "a last event without its end": (201, lambda: in_stream(str.rstrip)),
    "pir before the text": (202, lambda: in_stream(pir_first)),
    "no [DONE]": (202, lambda: in_stream(lambda t: t.replace("data: [DONE]\n\n", ""))),
    "pir in pieces": (203, lambda: in_stream(pir_in_pieces)),
    "no pir at all": (203, lambda: in_stream(lambda t: t.replace('"pir": {', '"rip": {'))),
    "pir at the top of a chunk": (203, lambda: in_stream(lambda t: t.replace('"object"', '"pir": {}, "object"'))),
    "usage unasked": (
        204,
        lambda: in_stream(lambda t: t.replace('"choices": [{', '"usage": {"total_tokens": 1}, "choices": [{')),
    ),
    "no state in streams": (205, lambda: in_stream(lambda t: t.replace('"reasoning_details"', '"details"'))),
    "questions stored late": (206, stored_late),
    "forgotten questions": (301, forgetful),
    "forgotten questions, denied": (301, lambda: forgetful(denied=True)),
    "session in the body ignored": (302, lambda: blind_to(key="session")),
    "session header ignored": (303, lambda: blind_to(header="x-pir-session")),
    "no opaque state": (304, lambda: Fault(message=lambda m: nothing(m.pop("reasoning_details", 0)))),
    "state of no use by itself": (306, lambda: Fault(message=lambda m: nothing(m.pop("reasoning_details", 0)))),
    "white space matters": (307, lambda: forgetful(extra_spaces)),
    "system text must be sent each time": (308, first_system_text_counts),
    "system text does not count": (309, deaf_to_systems),
    "conversation ids ignored": (310, lambda: blind_to(key="conversation")),
    "the same answer once only": (401, lambda: used_up(whole_conversation=True)),
    "questions used up": (402, used_up),
    "one tab wins": (403, used_up),
    "retries refused": (404, lambda: used_up(whole_conversation=True)),
    "one session for all": (405, one_question_for_all),
    "found by the question alone": (406, by_question_only),
    "given up when the client goes": (407, used_up),
    "a change of topic starts afresh": (408, lambda: forgetful(has("Never mind"))),
    "action ignored": (409, lambda: blind_to(key="action")),
    "action header ignored": (410, lambda: blind_to(header="x-pir-action")),
    "SDKs may repeat an unknown session": (411, lambda: no_header("x-should-retry")),
    "never rebuilt": (412, lambda: pir_change(replies, strict=True)),
    "strict ignored": (413, lambda: blind_to(key="strict")),
    "rebuilding denied": (414, always_resumed),
    "expired questions resumed": (415, expires_early),
    "a follow-up taken for an answer": (416, says_rebuilt),
    "forged state refused": (417, picky_about_state),
    "ask ignored": (501, lambda: blind_to(key="ask")),
    "ask header ignored": (502, lambda: blind_to(header="x-pir-ask")),
    "an alias that asks": (503, alias_asks),
    "max=1 ignored": (504, lambda: blind_to(key="ask")),
    "the policy forgotten": (505, lambda: pir_change(replies, ask="auto")),
    "questions where JSON is wanted": (506, lambda: blind_to(field="response_format")),
    "n ignored": (507, lambda: blind_to(field="n")),
    "a question as title": (508, side_calls_unknown),
    "retrieval taken for a side call": (509, lambda: pir_change(has("### Task:"), ask="never")),
    "tags in an answer end the reasoning": (601, lambda: tags_are_control("user")),
    "tags in a problem end the reasoning": (602, lambda: tags_are_control("user")),
    "tags in system text end the reasoning": (603, lambda: tags_are_control("system")),
    "errors of another shape": (701, bare_errors),
    "types not looked at": (702, lambda: blind_to(field="temperature")),
    "any model will do": (703, lambda: body_change(model="scripted")),
    "nothing to answer, answered": (704, guesses_what_was_meant),
    "typing errors in pir ignored": (705, lambda: blind_to(key="sesion")),
    "headers unread": (706, lambda: blind_to(header="x-pir-ask")),
    "unknown fields refused": (707, knows_every_field),
}
