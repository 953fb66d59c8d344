"""Front ends that do not run here, by the requests they send: Open WebUI and Gradio against the gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.clients import shapes
from tests.clients.shapes import MEMORY, RETRIEVAL, Json
from tests.serve.brains import PROBLEM, QUESTION, curious
from tests.serve.conftest import Desk, in_process

URL = "/v1/chat/completions"
DONE = "Six pens at 4 dollars each."


@pytest.fixture
async def desk(make_desk: Callable[..., Desk]) -> AsyncIterator[tuple[Desk, httpx.AsyncClient]]:
    made = make_desk(curious)
    async with in_process(made) as client:
        yield made, client


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def deltas(reply: httpx.Response) -> tuple[str, Json]:
    """The text of a stream, and its other fields, as Open WebUI collects them."""
    assert reply.status_code == 200, reply.text
    text, extra = "", {}
    for line in reply.text.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text += choice["delta"].get("content") or ""
                extra |= choice["delta"]
    return text, extra


async def say(client: httpx.AsyncClient, body: Json, **headers: str) -> tuple[str, Json, str]:
    reply = await client.post(URL, json=body, headers=headers)
    return *deltas(reply), reply.headers["x-pir-resume"]


Opened = tuple[Desk, httpx.AsyncClient]


@pytest.mark.parametrize("saved", [True, False], ids=["saved", "temporary"])
async def test_open_webui_answers_in_a_chat(desk: Opened, saved: bool) -> None:
    _, client = desk
    text, extra, _ = await say(client, shapes.webui([user(PROBLEM)]))
    assert text == QUESTION
    back = shapes.webui_reply(text, extra["reasoning_details"] if saved else None)
    text, _, how = await say(client, shapes.webui([user(PROBLEM), back, user("4 dollars")]))
    assert (text, how) == (DONE, "sealed" if saved else "hash")


async def test_open_webui_with_retrieval_resumes_though_the_wrapped_message_comes_back_bare(desk: Opened) -> None:
    _, client = desk
    text, extra, _ = await say(client, shapes.webui([user(RETRIEVAL.replace("{user}", PROBLEM))]))
    assert text == QUESTION
    wrapped_answer = user(RETRIEVAL.replace("{user}", "4 dollars"))
    for state, rung in ((extra["reasoning_details"], "sealed"), (None, "heuristic")):
        messages = [user(PROBLEM), shapes.webui_reply(text, state), wrapped_answer]
        _, _, how = await say(client, shapes.webui(messages))
        assert how == rung


@pytest.mark.parametrize("template", ["TITLE_TASK", "TAGS_TASK", "FOLLOW_UP_TASK"])
async def test_open_webui_side_calls_are_never_asked_and_suspend_nothing(desk: Opened, template: str) -> None:
    made, client = desk
    text, extra, _ = await say(client, shapes.webui([user(PROBLEM)]))
    assert made.num_suspended == 1
    reply = await client.post(URL, json=shapes.task(getattr(shapes, template), PROBLEM, QUESTION))
    message: dict[str, Any] = reply.json()["choices"][0]["message"]
    assert message["pir"]["status"] == "completed" and message["content"] != QUESTION
    assert message["pir"]["auto_answers"]  # the model wanted to ask, and was not let
    assert made.num_suspended == 1
    back = shapes.webui_reply(text, extra["reasoning_details"])
    text, _, _ = await say(client, shapes.webui([user(PROBLEM), back, user("4 dollars")]))
    assert text == DONE  # the side call has not touched the chat


async def test_open_webui_memories_of_two_users_keep_their_chats_apart(desk: Opened) -> None:
    """One key for all users of a front end: their memories, in the system message, make the difference."""
    _, client = desk
    ann, bob = ({"role": "system", "content": MEMORY.replace("{fact}", f"I am {name}")} for name in ("Ann", "Bob"))
    text, _, _ = await say(client, shapes.webui([ann, user(PROBLEM)]))
    turns = [user(PROBLEM), shapes.webui_reply(text), user("4 dollars")]
    assert (await say(client, shapes.webui([bob, *turns])))[2] == "rebuilt"
    assert (await say(client, shapes.webui([ann, *turns])))[2] == "hash"


async def test_open_webui_chat_ids_find_a_chat_whose_memories_have_changed(desk: Opened) -> None:
    _, client = desk
    before, after = ({"role": "system", "content": MEMORY.replace("{fact}", f"I have {n} cats")} for n in (1, 2))
    chat = {"X-OpenWebUI-Chat-Id": "5f0c1f1e"}
    text, _, _ = await say(client, shapes.webui([before, user(PROBLEM)]), **chat)
    turns = [after, user(PROBLEM), shapes.webui_reply(text), user("4 dollars")]
    assert (await say(client, shapes.webui(turns), **chat))[2] == "hash"
    assert (await say(client, shapes.webui(turns), **{"X-OpenWebUI-Chat-Id": "another"}))[2] == "rebuilt"


async def test_gradio_answers_in_parts_and_without_its_system_message(desk: Opened) -> None:
    _, client = desk
    text, _, _ = await say(client, shapes.gradio([("user", PROBLEM)], system="You are helpful."))
    assert text == QUESTION
    turns = [("user", PROBLEM), ("assistant", text), ("user", "4 dollars")]
    text, _, how = await say(client, shapes.gradio(turns, system="You are helpful."))
    assert (text, how) == (DONE, "hash")
    regenerated = await say(client, shapes.gradio(turns, system="You are helpful."))
    assert (regenerated[0], regenerated[2]) == (DONE, "hash")
    edited = [*turns[:-1], ("user", "5 euros")]
    assert (await say(client, shapes.gradio(edited)))[0] == "Six pens at 5 euros each."
    earlier = [("user", PROBLEM.replace("6", "9")), *turns[1:]]
    assert (await say(client, shapes.gradio(earlier)))[2] == "rebuilt"
