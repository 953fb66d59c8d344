"""GET, PATCH and DELETE on /v1/pir/sessions: what is there, by what name, and what is no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serve.brains import PROBLEM, QUESTION, curious, twice_curious
from tests.serve.conftest import Desk, in_process
from tests.serve.sessions.samples import BEGAN, keep

MakeDesk = Callable[..., Desk]
URL = "/v1/pir/sessions"


async def ids(client: httpx.AsyncClient, **query: Any) -> list[str]:
    reply = await client.get(URL, params=query)
    assert reply.status_code == 200, reply.text
    return [session["id"] for session in reply.json()["data"]]


async def test_a_chat_that_was_asked_is_listed_with_its_question(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        assert (await client.get(URL)).json() == {"object": "list", "data": [], "has_more": False, "next_cursor": None}
        body = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
        asked = (await client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]["pir"]
        (session,) = (await client.get(URL)).json()["data"]
        assert (session["title"], session["status"], session["question"]) == (PROBLEM, "awaiting_user", QUESTION)
        assert (session["newest"], session["expires_at"]) == (asked["session"], asked["expires_at"])


async def test_a_chat_that_was_answered_is_listed_as_finished_with_both_answers(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        messages = [{"role": "user", "content": PROBLEM}, {"role": "assistant", "content": QUESTION}]
        chat = "/v1/chat/completions"
        await client.post(chat, json={"model": "scripted", "messages": messages[:1]})
        for said in ("4", "5"):
            answered = [*messages, {"role": "user", "content": said}]
            await client.post(chat, json={"model": "scripted", "messages": answered})
        for _ in range(500):  # finished ones are put away once the reply has left
            (session,) = (await client.get(URL)).json()["data"]
            if session["num_nodes"] == 3:
                break
            await asyncio.sleep(0.01)
        assert (session["status"], session["num_nodes"], session["num_waiting"]) == ("completed", 3, 1)
        (root,) = (await client.get(f"{URL}/{session['id']}")).json()["branches"]
        assert {child["answer"] for child in root["children"]} == {"Six pens at 4 each.", "Six pens at 5 each."}


async def test_each_session_says_how_it_stands(make_desk: MakeDesk) -> None:
    desk = make_desk(twice_curious)
    async with in_process(desk) as client:
        first = await keep(desk, 1, PROBLEM)
        second = await keep(desk, 2, "4", parent=first)
        await keep(desk, 3, "dollars", parent=second)
        (session,) = (await client.get(URL)).json()["data"]
        assert session == {
            "id": "s_pens",
            "object": "pir.session",
            "title": PROBLEM,
            "status": "completed",
            "question": None,
            "model": "scripted",
            "newest": "pir_3",
            "num_nodes": 3,
            "num_waiting": 2,
            "created_at": BEGAN + 1,
            "updated_at": BEGAN + 3,
            "expires_at": BEGAN + 3 + 86_400,
        }


async def test_lists_are_newest_first_in_pages_and_by_status(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        for n in range(5):
            node = await keep(desk, n, f"{PROBLEM} ({n})", session=f"s_{n}")
            if n % 2:
                await keep(desk, 10 + n, "4 dollars", parent=node)
        assert await ids(client) == ["s_4", "s_3", "s_2", "s_1", "s_0"]
        assert await ids(client, status="awaiting_user") == ["s_4", "s_2", "s_0"]
        assert await ids(client, status="finished") == await ids(client, status="completed") == ["s_3", "s_1"]
        assert await ids(client, status="failed") == []
        seen, cursor = [], {}
        while True:
            page = (await client.get(URL, params={"limit": 2, **cursor})).json()
            seen.append([session["id"] for session in page["data"]])
            assert page["has_more"] is (page["next_cursor"] is not None)
            if not page["has_more"]:
                break
            cursor = {"cursor": page["next_cursor"]}
            await keep(desk, 100 + len(seen), "Something newer", session=f"s_new{len(seen)}")
        assert seen == [["s_4", "s_3"], ["s_2", "s_1"], ["s_0"]]


async def test_a_search_finds_what_was_said(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        node = await keep(desk, 1, PROBLEM)
        await keep(desk, 2, "Seven rupees", parent=node)
        await keep(desk, 3, "How far is the moon?", session="s_moon")
        assert await ids(client, search="RUPEES nora") == ["s_pens"]
        assert await ids(client, search="moon") == ["s_moon"]
        assert await ids(client, search="moon rupees") == []
        assert await ids(client, search="one pen", status="awaiting_user") == ["s_moon"]


async def test_a_title_is_given_taken_back_and_searched(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        for name in ("s_pens", "pir_1"):
            renamed = await client.patch(f"{URL}/{name}", json={"title": f"  Stifte für {name} ✏️ "})
            assert renamed.status_code == 200
            assert renamed.json()["title"] == f"Stifte für {name} ✏️"
            assert renamed.json() == (await client.get(URL)).json()["data"][0]
        assert await ids(client, search="stifte") == ["s_pens"]
        for nothing in ("", None, " "):
            reply = await client.patch(f"{URL}/s_pens", json={"title": nothing})
            assert reply.json()["title"] == PROBLEM


async def test_deleting_a_node_leaves_its_children_and_deleting_a_session_leaves_nothing(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        node = await keep(desk, 1, PROBLEM)
        await keep(desk, 2, "4", parent=node)
        await keep(desk, 3, "5", parent=node)
        await keep(desk, 4, "Another?", session="s_other")
        gone = await client.delete(f"{URL}/pir_1")
        assert gone.json() == {"id": "pir_1", "object": "pir.node.deleted", "deleted": True, "num_nodes": 1}
        assert (await client.delete(f"{URL}/pir_1")).status_code == 404
        assert (await client.get(f"{URL}/s_pens")).json()["num_nodes"] == 2
        gone = await client.delete(f"{URL}/s_pens")
        assert gone.json() == {"id": "s_pens", "object": "pir.session.deleted", "deleted": True, "num_nodes": 2}
        assert await ids(client) == ["s_other"]
        named = {"model": "scripted", "messages": [{"role": "user", "content": "4"}], "pir": {"session": "pir_1"}}
        refused = await client.post("/v1/chat/completions", json=named)
        assert refused.json()["error"]["code"] == "previous_response_not_found"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"status": "waiting"}, "status"),
        ({"status": "in_progress"}, "status"),
        ({"staus": "completed"}, "staus"),
        ({"search": "x" * 1001}, "search"),
    ],
)
async def test_a_wrong_query_is_told(make_desk: MakeDesk, query: dict[str, str], param: str) -> None:
    async with in_process(make_desk(curious)) as client:
        reply = await client.get(URL, params=query)
        assert reply.status_code == 400
        error = reply.json()["error"]
        assert error["param"] == param and error["type"] == "invalid_request_error" and error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"{}", "title"),
        (b'{"title": 5}', "title"),
        (b'{"title": "' + b"x" * 201 + b'"}', "title"),
        (b'{"title": "a", "status": "completed"}', "status"),
        (b'{"title": "\\ud800"}', None),
    ],
)
async def test_a_wrong_title_is_told(make_desk: MakeDesk, body: bytes, param: str | None) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        reply = await client.patch(f"{URL}/s_pens", content=body)
        assert reply.status_code == 400 and reply.json()["error"]["param"] == param
        assert (await client.get(f"{URL}/s_pens")).json()["title"] == PROBLEM
