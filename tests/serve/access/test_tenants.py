"""Nothing of a tenant is found by another, whatever of the first one's material it has got hold of."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, turn_so_far
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
VICTIM, THIEF = "victims-long-key", "thiefs-long-key-"
SECRET_THOUGHT = "The safe is behind the painting."
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
ASK_TOOL = {
    "type": "function",
    "function": {
        "name": "ask_user",
        "parameters": {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
    },
}


def knowing(prompt: str) -> str | Line:
    """Thinks of something that only its user may see."""
    if "slowly" in prompt:
        return Line(f"\n{SECRET_THOUGHT}" * 50, delay_s=0.02)
    if "<response>" in turn_so_far(prompt):
        return f"\nSo, {SECRET_THOUGHT}\n</think>\nDone: {SECRET_THOUGHT}"
    return f"\n{SECRET_THOUGHT}\n<asking>{QUESTION}</asking>"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@dataclass
class Loot:
    """All that a victim's client has ever seen."""

    message: dict[str, Any]
    by_tool: dict[str, Any]
    sid: str
    session: str
    response: dict[str, Any]
    unstored: dict[str, Any]
    background: dict[str, Any]


@pytest.fixture
async def scene(
    request: pytest.FixtureRequest, make_desk: MakeDesk
) -> AsyncIterator[tuple[httpx.AsyncClient, Desk, Loot]]:
    kept = request.getfixturevalue("postgres").store() if getattr(request, "param", "") == "postgres" else None
    desk = make_desk(knowing, api_key=(VICTIM, THIEF), kept=kept)
    async with in_process(desk) as client:
        client.headers.update(bearer(VICTIM))
        chat: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
        body = {"model": "scripted", "input": PROBLEM}
        first = await client.post(CHAT, json=chat)
        loot = Loot(
            message=first.json()["choices"][0]["message"],
            by_tool=(await client.post(CHAT, json={**chat, "tools": [ASK_TOOL]})).json()["choices"][0]["message"],
            sid=first.headers["x-pir-session"],
            session=(await client.get("/v1/pir/sessions")).json()["data"][-1]["id"],
            response=(await client.post(RESPONSES, json=body)).json(),
            unstored=(await client.post(RESPONSES, json={**body, "store": False})).json(),
            background=(await client.post(RESPONSES, json={**body, "input": "slowly", "background": True})).json(),
        )
        client.headers.update(bearer(THIEF))
        yield client, desk, loot


def answered(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": PROBLEM}, message, {"role": "user", "content": "4"}]


def chat(messages: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": messages, **extra}


def plain(loot: Loot) -> dict[str, Any]:
    return {"role": "assistant", "content": loot.message["content"]}


def tool_reply(loot: Loot) -> list[dict[str, Any]]:
    call = loot.by_tool["tool_calls"][0]["id"]
    return [{"role": "user", "content": PROBLEM}, loot.by_tool, {"role": "tool", "tool_call_id": call, "content": "4"}]


WAYS_TO_RESUME: dict[str, Callable[[Loot], tuple[str, dict[str, Any], dict[str, str]]]] = {
    "its whole text": lambda x: (CHAT, chat(answered(plain(x))), {}),
    "its text, streamed": lambda x: (CHAT, chat(answered(plain(x)), stream=True), {}),
    "the question alone": lambda x: (CHAT, chat(answered(plain(x))[1:]), {}),
    "the message as it came, handle and all": lambda x: (CHAT, chat(answered(x.message)), {}),
    "its id in the body": lambda x: (CHAT, chat([{"role": "user", "content": "4"}], pir={"session": x.sid}), {}),
    "its id and text": lambda x: (CHAT, chat(answered(plain(x)), pir={"session": x.sid}), {}),
    "its id in a header": lambda x: (CHAT, chat([{"role": "user", "content": "4"}]), {"x-pir-session": x.sid}),
    "its call's id": lambda x: (CHAT, chat(tool_reply(x), tools=[ASK_TOOL]), {}),
    "the native path": lambda x: (f"/v1/pir/sessions/{x.sid}/resume", {"response": "4"}, {}),
    "the native path, by session": lambda x: (f"/v1/pir/sessions/{x.session}/resume", {"response": "4"}, {}),
    "the response before": lambda x: (
        RESPONSES,
        {"model": "scripted", "input": "4", "previous_response_id": x.response["id"]},
        {},
    ),
    "the response's items": lambda x: (
        RESPONSES,
        {"model": "scripted", "input": [{"role": "user", "content": PROBLEM}, *x.response["output"], USER_ITEM]},
        {},
    ),
    "items with the whole reasoning sealed": lambda x: (
        RESPONSES,
        {"model": "scripted", "input": [{"role": "user", "content": PROBLEM}, *x.unstored["output"], USER_ITEM]},
        {},
    ),
    "a conversation of the same name": lambda x: (CHAT, chat(answered(plain(x)), pir={"conversation": ""}), {}),
}
USER_ITEM = {"role": "user", "content": "4"}


@pytest.mark.parametrize("scene", ["sqlite", "postgres"], indirect=True)
async def test_nobody_elses_reasoning_is_resumed_in_any_way(scene: tuple[httpx.AsyncClient, Desk, Loot]) -> None:
    client, desk, loot = scene
    thief = (await desk.gateway.auth.caller(bearer(THIEF))).tenant
    for way, build in WAYS_TO_RESUME.items():
        await desk.gateway.store.purge(thief)  # what it was asked itself, it may resume
        url, body, headers = build(loot)
        before = len(desk.engine.requests)
        reply = await client.post(url, json=body, headers=headers)
        assert reply.status_code < 500, way
        assert reply.headers.get("x-pir-resume") in (None, "new", "rebuilt"), way
        for k in range(before, len(desk.engine.requests)):  # the model was told nothing either
            assert turn_so_far(desk.engine.prompt_text(k)).strip() == "<think>", way
            assert desk.engine.requests[k].tenant != desk.engine.requests[0].tenant, way
    # The same ways are the victim's own.
    client.headers.update(bearer(VICTIM))
    resumed = 0
    for build in WAYS_TO_RESUME.values():
        url, body, headers = build(loot)
        reply = await client.post(url, json=body, headers=headers)
        resumed += "</response>" in turn_so_far(desk.engine.prompt_text()) and reply.status_code == 200
    assert resumed >= len(WAYS_TO_RESUME) - 1


def without(text: str, names: dict[str, str]) -> str:
    for name in names.values():
        text = text.replace(name, "")
    return text


LOOKS = [
    ("GET", "/v1/pir/sessions/{sid}"), ("GET", "/v1/pir/sessions/{session}"), ("GET", "/v1/pir/sessions/{sid}?ids=1"),
    ("PATCH", "/v1/pir/sessions/{session}"), ("DELETE", "/v1/pir/sessions/{sid}"), ("DELETE", "/v1/pir/sessions/{session}"),
    ("GET", "/v1/responses/{response}"), ("GET", "/v1/responses/{response}/input_items"),
    ("DELETE", "/v1/responses/{response}"), ("POST", "/v1/responses/{response}/cancel"),
    ("GET", "/v1/responses/{background}"), ("GET", "/v1/responses/{background}?stream=true"),
    ("GET", "/v1/responses/{background}?stream=true&starting_after=0"), ("POST", "/v1/responses/{background}/cancel"),
    ("DELETE", "/v1/responses/{background}"), ("GET", "/v1/responses/{background}/input_items"),
]  # fmt: skip


@pytest.mark.parametrize("scene", ["sqlite", "postgres"], indirect=True)
async def test_nothing_of_others_is_seen_followed_changed_or_ended(
    scene: tuple[httpx.AsyncClient, Desk, Loot],
) -> None:
    client, _, loot = scene
    names = {
        "sid": loot.sid,
        "session": loot.session,
        "response": loot.response["id"],
        "background": loot.background["id"],
    }
    for method, path in LOOKS:
        url = path.format(**names)
        reply = await client.request(method, url, json={"title": "mine now"} if method == "PATCH" else None)
        assert reply.status_code == 404, url
        made_up = {name: value[:5] + "x" * (len(value) - 5) for name, value in names.items()}
        never_was = await client.request(
            method, path.format(**made_up), json={"title": "mine now"} if method == "PATCH" else None
        )
        assert without(reply.text, names) == without(never_was.text, made_up), url  # nor that there is such a one
    assert (await client.get("/v1/pir/sessions?limit=100")).json()["data"] == []
    assert (await client.get("/v1/pir/sessions/export")).text == ""
    assert (await client.get("/v1/pir/sessions?search=safe")).json()["data"] == []
    client.headers.update(bearer(VICTIM))
    for name in ("sid", "session"):
        assert (await client.get(f"/v1/pir/sessions/{names[name]}")).status_code == 200
    for name in ("response", "background"):
        assert (await client.get(f"/v1/responses/{names[name]}")).json()["status"] in ("completed", "in_progress")
    assert (await client.get(f"/v1/pir/sessions/{loot.session}")).json()["title"] != "mine now"


async def test_a_cursor_of_others_opens_nothing(scene: tuple[httpx.AsyncClient, Desk, Loot]) -> None:
    client, _, _ = scene
    victims = (await client.get("/v1/pir/sessions?limit=1", headers=bearer(VICTIM))).json()
    assert victims["next_cursor"]
    assert (await client.get(f"/v1/pir/sessions?cursor={victims['next_cursor']}")).json()["data"] == []


async def test_a_handle_is_of_no_use_when_it_is_bent(scene: tuple[httpx.AsyncClient, Desk, Loot]) -> None:
    client, desk, loot = scene
    handle = loot.message["reasoning_details"][0]
    raw = bytearray(base64.urlsafe_b64decode(handle["data"] + "=="))
    for place in range(0, len(raw), 7):
        bent = bytes(raw[:place]) + bytes([raw[place] ^ 1]) + bytes(raw[place + 1 :])
        message = {**loot.message, "reasoning_details": [{**handle, "data": base64.urlsafe_b64encode(bent).decode()}]}
        reply = await client.post(CHAT, json=chat(answered(message)))
        assert reply.headers["x-pir-resume"] == "rebuilt"
    assert SECRET_THOUGHT not in desk.engine.prompt_text()


async def test_what_is_logged_names_nobodys_words(
    scene: tuple[httpx.AsyncClient, Desk, Loot], caplog: pytest.LogCaptureFixture
) -> None:
    client, _, loot = scene
    for build in WAYS_TO_RESUME.values():
        url, body, headers = build(loot)
        await client.post(url, json=body, headers={**bearer(VICTIM), **headers})
    log = json.dumps([record.getMessage() for record in caplog.records])
    for words in (SECRET_THOUGHT, QUESTION, PROBLEM, VICTIM, THIEF):
        assert words not in log


async def test_legs_of_tenants_meet_no_common_prefix_cache(make_desk: MakeDesk) -> None:
    desk = make_desk(curious, api_key=(VICTIM, THIEF))
    async with in_process(desk) as client:
        for key in (VICTIM, THIEF):
            await client.post(CHAT, json=chat([{"role": "user", "content": PROBLEM}]), headers=bearer(key))
    mine, theirs = (request.tenant for request in desk.engine.requests)
    assert mine and theirs and mine != theirs
