"""`pir conformance`: our own gateway passes, and for each broken rule the check that is meant for it fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pir_serve.cli import cli
from pir_serve.conformance import CHECKS, SURFACES, Outcome, Problem, Result, Setup, run_suite
from pir_serve.conformance.wire import Http
from pir_serve.demo import fresh_gateway
from pir_serve.settings import BUILTIN_MODEL
from tests.serve.brains import turn_so_far
from tests.serve.breaking_proxy import BreakingProxy, Fault, Json, serving
from tests.serve.conftest import Desk

Serve = Callable[[Desk], AbstractContextManager[Desk]]
PROBLEM = Problem("Nora buys 6 pens. How much does she pay?", "4 dollars")
NUMBERS = [check.number for check in CHECKS]
PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def inquisitive(prompt: str) -> str:
    """Asks for the price, and again as long as it is told no number."""
    told = re.findall(r"<response>(.*?)</response>", turn_so_far(prompt), re.DOTALL)
    if "Nora" not in prompt:
        return "\nThere is nothing to work out.\n</think>\nYou are welcome."
    if not told:
        return "\nThe number of pens is 6, and nobody says what one costs.\n<asking>How much is a pen?</asking>"
    if not re.search(r"\d|judgment", told[-1]):
        return "\nThat is no price.\n<asking>But how much is one pen?</asking>"
    return "\nNow the price is known.\n</think>\nShe pays 24 dollars."


async def outcomes(url: str, **options: Any) -> dict[tuple[int, bool], Result]:
    http = Http(url, timeout_s=20)
    try:
        setup = Setup("scripted", (PROBLEM,), tries=2)
        running = run_suite(http, setup, [SURFACES["chat"]], **options)
        return {(r.check.number, r.stream): r async for r in running}
    finally:
        await http.aclose()


def failed(results: dict[tuple[int, bool], Result]) -> dict[int, str]:
    return {number: r.detail for (number, _), r in results.items() if r.outcome is Outcome.FAILED}


async def test_a_gateway_that_keeps_the_contract_passes(make_desk: Callable[..., Desk], on_port: Serve) -> None:
    with on_port(make_desk(inquisitive)) as desk:
        results = await outcomes(desk.url)
    assert failed(results) == {}
    skipped = {number for (number, _), r in results.items() if r.outcome is Outcome.SKIPPED}
    assert skipped == {305, 311, 415}  # a tool call, a second key, a short life time: below
    assert {number for number, _ in results} == set(NUMBERS)


async def test_expired_questions_and_other_tenants_are_tried_where_that_is_possible(
    make_desk: Callable[..., Desk], on_port: Serve
) -> None:
    keys = ("key-of-ann-1", "key-of-bob-2")
    with on_port(make_desk(inquisitive, ttl_s=1.0, api_key=keys)) as desk:
        http, other = (Http(desk.url, key) for key in keys)
        setup = Setup("scripted", (PROBLEM,))
        running = run_suite(http, setup, [SURFACES["chat"]], only={311, 415}, other_http=other)
        results = [(r.check.number, r.outcome, r.detail) async for r in running]
        await http.aclose()
        await other.aclose()
    assert results == [(n, Outcome.PASSED, "") for n in (311, 311, 415, 415)]


async def test_one_key_for_two_tenants_is_caught(make_desk: Callable[..., Desk], on_port: Serve) -> None:
    with on_port(make_desk(inquisitive)) as desk:
        http = Http(desk.url, "whoever-1")
        setup = Setup("scripted", (PROBLEM,))
        running = run_suite(http, setup, [SURFACES["chat"]], only={311}, other_http=http)
        assert {r.outcome async for r in running} == {Outcome.FAILED}
        await http.aclose()


# -- one broken rule at a time


def without(*fields: str) -> Callable[[Json], None]:
    def drop(message: Json) -> None:
        for name in fields:
            message.pop(name, None)

    return drop


def in_pir(**changes: Any) -> Callable[[Json], None]:
    """None removes a key."""

    def change(message: Json) -> None:
        if "pir" in message:
            merged = message["pir"] | changes
            message["pir"] = {k: v for k, v in merged.items() if v is not None}

    return change


def show_tags(message: Json) -> None:
    if message.get("reasoning_content"):
        message["reasoning_content"] += "<asking>"


def forget(body: Json, headers: dict[str, str]) -> None:
    """Every conversation is a new one, as with a gateway that keeps no state."""
    for message in body.get("messages") or ():
        if isinstance(message, dict) and message.get("role") == "assistant":
            message["content"] = f"{message.get('content')} "[::-1] + "?"
            message.pop("reasoning_details", None)


def lie(headers: dict[str, str]) -> None:
    if headers.get("x-pir-resume") == "rebuilt":
        headers["x-pir-resume"] = "hash"


def forget_system(body: Json, headers: dict[str, str]) -> None:
    body["messages"] = [m for m in body.get("messages") or () if not isinstance(m, dict) or m.get("role") != "system"]


def drop_pir_key(key: str) -> Callable[[Json, dict[str, str]], None]:
    def drop(body: Json, headers: dict[str, str]) -> None:
        if isinstance(body.get("pir"), dict):
            body["pir"].pop(key, None)

    return drop


def drop_header(name: str) -> Callable[[Json, dict[str, str]], None]:
    def drop(body: Json, headers: dict[str, str]) -> None:
        for key in [k for k in headers if k.lower() == name]:
            del headers[key]

    return drop


def drop_field(name: str) -> Callable[[Json, dict[str, str]], None]:
    return lambda body, headers: void(body.pop(name, None))


def void(_: Any) -> None: ...


def only_once() -> Callable[[Json], tuple[int, Json] | None]:
    """A conversation is answered once; who comes again gets a conflict."""
    seen: set[str] = set()

    def refuse(body: Json) -> tuple[int, Json] | None:
        messages = body.get("messages") or []
        if len(messages) < 3 or not isinstance(messages[-1], dict):
            return None
        key = json.dumps(messages)
        if key in seen:
            return 409, {"error": {"message": "busy", "type": "conflict", "param": None, "code": None}}
        seen.add(key)
        return None

    return refuse


def before_end(text: str, *lines: str) -> str:
    return text.replace("data: [DONE]", "\n".join(lines) + "\n\ndata: [DONE]")


def split_pir(text: str) -> str:
    """The pir object in two chunks, each with a part."""

    def halves(match: re.Match[str]) -> str:
        chunk = json.loads(match[1])
        pir = chunk["choices"][0]["delta"].get("pir")
        if not pir:
            return match[0]
        parts = []
        for keys in (["status"], [k for k in pir if k != "status"]):
            chunk["choices"][0]["delta"] = {"pir": {k: pir[k] for k in keys}}
            parts.append(f"data: {json.dumps(chunk)}")
        return "\n\n".join(parts)

    return re.sub(r"^data: (\{.*\})$", halves, text, flags=re.MULTILINE)


def pir_first(text: str) -> str:
    events = text.split("\n\n")
    events.sort(key=lambda e: '"pir"' not in e)
    return "\n\n".join(events)


def bare_error(body: Json) -> None:
    if "error" in body:
        body["error"] = body["error"]["message"]


def usage_everywhere(text: str) -> str:
    return text.replace('"choices": [{', '"usage": {"prompt_tokens": 1}, "choices": [{')


def inject(body: Json, headers: dict[str, str]) -> None:
    """What the gateway would do whose users' tags are control: the answer is cut off, and with it the reasoning."""
    for message in body.get("messages") or ():
        if isinstance(message, dict) and "</think>" in str(message.get("content")):
            body["max_tokens"] = 1


FAULTS: dict[str, tuple[int, Fault]] = {
    "an unknown finish reason": (101, Fault(whole=lambda b: void([c.update(finish_reason="ask") for c in b.get("choices", ())]), stream=lambda t: t.replace('"finish_reason": "stop"', '"finish_reason": "ask"'))),
    "words around the question": (102, Fault(message=lambda m: void(m.update(content=f"Please: {m['content']}") if m.get("content") else 0))),
    "no pir.session": (103, Fault(message=in_pir(session=None))),
    "expires_at in milliseconds past": (103, Fault(message=in_pir(expires_at=1))),
    "no X-PIR-Resume": (104, Fault(headers=lambda h: void(h.pop("x-pir-resume", 0)))),
    "no X-PIR-Status": (105, Fault(headers=lambda h: void(h.pop("x-pir-status", 0)))),
    "tags shown": (106, Fault(message=show_tags)),
    "usage that does not add up": (107, Fault(whole=lambda b: void(b["usage"].update(total_tokens=1) if b.get("usage") else 0))),
    "id lines": (201, Fault(stream=lambda t: t.replace("data: ", "id: 7\ndata: "))),
    "event lines": (201, Fault(stream=lambda t: before_end(t, "event: pir", "data: {}"))),
    "pir before the text": (202, Fault(stream=pir_first)),
    "no [DONE]": (202, Fault(stream=lambda t: t.replace("data: [DONE]\n\n", ""))),
    "pir in pieces": (203, Fault(stream=split_pir)),
    "pir at the top of a chunk": (203, Fault(stream=lambda t: t.replace('"object"', '"pir": {}, "object"'))),
    "usage unasked": (204, Fault(stream=usage_everywhere)),
    "no state in streams": (205, Fault(stream=lambda t: t.replace('"reasoning_details"', '"details"'))),
    "forgotten questions": (301, Fault(request=forget)),
    "forgotten questions, denied": (301, Fault(request=forget, headers=lie)),
    "session in the body ignored": (302, Fault(request=drop_pir_key("session"))),
    "session header ignored": (303, Fault(request=drop_header("x-pir-session"))),
    "no opaque state": (304, Fault(message=without("reasoning_details"))),
    "system text ignored": (309, Fault(request=forget_system)),
    "conversation ids ignored": (310, Fault(request=drop_pir_key("conversation"))),
    "answers used up": (401, Fault(refuse=only_once())),
    "retries refused": (404, Fault(refuse=only_once())),
    "action ignored": (409, Fault(request=drop_pir_key("action"))),
    "action header ignored": (410, Fault(request=drop_header("x-pir-action"))),
    "SDKs may repeat an unknown session": (411, Fault(headers=lambda h: void(h.pop("x-should-retry", 0)))),
    "strict ignored": (413, Fault(request=drop_pir_key("strict"))),
    "rebuilding denied": (414, Fault(headers=lie)),
    "ask ignored": (501, Fault(request=drop_pir_key("ask"))),
    "ask header ignored": (502, Fault(request=drop_header("x-pir-ask"))),
    "max=1 ignored": (504, Fault(request=drop_pir_key("ask"))),
    "questions where JSON is wanted": (506, Fault(request=drop_field("response_format"))),
    "n ignored": (507, Fault(request=drop_field("n"))),
    "tags end the reasoning": (601, Fault(request=inject)),
    "tags in a problem end the reasoning": (602, Fault(request=inject)),
    "errors of another shape": (701, Fault(whole=bare_error)),
    "typing errors in pir ignored": (705, Fault(request=drop_pir_key("sesion"))),
    "headers unread": (706, Fault(request=drop_header("x-pir-ask"))),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
async def test_a_broken_rule_is_caught_by_its_check(name: str, make_desk: Callable[..., Desk], on_port: Serve) -> None:
    number, fault = FAULTS[name]
    with on_port(make_desk(inquisitive)) as desk:
        async with serving(BreakingProxy(desk.url, fault)) as proxy:
            results = await outcomes(proxy.url, only={number})
    assert number in failed(results), [(r.outcome, r.detail) for r in results.values()]
