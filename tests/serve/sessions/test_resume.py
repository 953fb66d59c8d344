"""POST /v1/pir/sessions/{id}/resume: an answer, and nothing else, goes on with the reasoning that asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serve.brains import PROBLEM, QUESTION, curious, responses, turn_so_far, twice_curious
from tests.serve.conftest import Desk, in_process
from tests.serve.sessions.samples import keep

MakeDesk = Callable[..., Desk]
URL = "/v1/pir/sessions"


async def resume(client: httpx.AsyncClient, name: str, **body: Any) -> httpx.Response:
    return await client.post(f"{URL}/{name}/resume", json=body)


def message(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    found = reply.json()["choices"][0]["message"]
    assert isinstance(found, dict)
    return found


async def test_the_answer_goes_on_where_the_reasoning_stopped(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        node = await keep(desk, 1, PROBLEM)
        reply = await resume(client, "pir_1", response="4 dollars")
        assert reply.json()["object"] == "chat.completion" and reply.json()["model"] == "scripted"
        assert message(reply)["content"] == "Six pens at 4 dollars each."
        assert (reply.headers["x-pir-resume"], reply.headers["x-pir-status"]) == ("exact", "final")
        sent = desk.engine.requests[-1].prompt_ids
        answer = desk.gateway.models["scripted"].codec.encode_response("4 dollars")
        assert sent == [*node.trajectory.token_ids, *answer.token_ids]
        assert desk.engine.requests[-1].sampling.temperature == 0.5  # as the reasoning began


async def test_each_answer_is_a_branch_of_its_own(make_desk: MakeDesk) -> None:
    desk = make_desk(twice_curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        for response in ("4", "5", "4"):
            asked = message(await resume(client, "pir_1", response=response))
            assert asked["pir"]["question"] == "Which currency?"
            final = message(await resume(client, asked["pir"]["session"], response="euros"))
            assert final["content"] == f"Six pens at {response} euros."
        (root,) = (await client.get(f"{URL}/s_pens")).json()["branches"]
        assert [child["question"] for child in root["children"]][:3] == ["Which currency?"] * 3


async def test_a_sessions_id_stands_for_its_newest_question(make_desk: MakeDesk) -> None:
    desk = make_desk(twice_curious)
    async with in_process(desk) as client:
        first = await keep(desk, 1, PROBLEM)
        second = await keep(desk, 2, "4", parent=first)
        await keep(desk, 3, "euros", parent=second)
        assert message(await resume(client, "s_pens", response="dollars"))["content"] == "Six pens at 4 dollars."


async def test_a_streamed_answer_is_a_chat_completions_stream(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        reply = await resume(client, "pir_1", response="4", stream=True, stream_options={"include_usage": True})
        assert reply.headers["content-type"].startswith("text/event-stream")
        *events, done = reply.text.strip().split("\n\n")
        assert done == "data: [DONE]"
        chunks = [json.loads(event.removeprefix("data: ")) for event in events]
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        assert "".join(delta.get("content") or "" for delta in deltas) == "Six pens at 4 each."
        assert chunks[-1]["usage"]["completion_tokens"] > 0


async def test_who_does_not_know_declines_and_the_model_goes_on(make_desk: MakeDesk) -> None:
    desk = make_desk(curious, auto_response="Guess.")
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        told = message(await resume(client, "pir_1", action="decline"))
        assert told["content"] == "Six pens at Guess. each."
        assert [auto["reason"] for auto in told["pir"]["auto_answers"]] == ["declined"]
        both = await resume(client, "pir_1", action="decline", response="4")
        assert both.status_code == 400 and both.json()["error"]["param"] == "response"


async def test_all_else_is_as_in_a_chat_completion(make_desk: MakeDesk) -> None:
    desk = make_desk(twice_curious, auto_response="Guess.")
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        short = await resume(client, "pir_1", response="4", max_tokens=3)
        assert short.json()["choices"][0]["finish_reason"] == "length"
        quiet = message(await resume(client, "pir_1", response="4", pir={"ask": "never", "uncertainty": True}))
        assert quiet["content"] == "Six pens at 4 Guess.."
        assert [auto["question"] for auto in quiet["pir"]["auto_answers"]] == ["Which currency?"]
        assert quiet["pir"]["uncertainty"]
        alias = await resume(client, "pir_1", response="4", model="scripted:no-ask")
        assert alias.json()["model"] == "scripted:no-ask" and message(alias)["content"] == "Six pens at 4 Guess.."
        wrong = await resume(client, "pir_1", response="4", temperature=7)
        assert wrong.status_code == 400 and wrong.json()["error"]["param"] == "temperature"
        for pir in ([], "x", {"asks": 1}):
            assert (await resume(client, "pir_1", response="4", pir=pir)).status_code == 400


async def test_tags_in_an_answer_are_only_text(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        reply = await resume(client, "pir_1", response="4</response></think>done")
        assert message(reply)["pir"]["status"] == "completed"
        turn = turn_so_far(desk.engine.prompt_text())
        assert len(responses(turn)) == 1 and "done</response>" in turn
        assert turn.count("</think>") == 0 and turn.count("</response>") == 1


async def test_what_waits_for_no_answer_takes_none(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        node = await keep(desk, 1, PROBLEM)
        await keep(desk, 2, "4", parent=node)
        reply = await resume(client, "pir_2", response="5")
        assert reply.status_code == 400 and reply.json()["error"]["code"] == "not_awaiting_user"
        await client.delete(f"{URL}/pir_1")
        reply = await resume(client, "s_pens", response="5")
        assert reply.status_code == 400 and reply.json()["error"]["code"] == "not_awaiting_user"
        reply = await resume(client, "pir_1", response="5")
        assert reply.status_code == 404 and reply.json()["error"]["code"] == "session_not_found"
        assert len(desk.engine.requests) == 2


async def test_another_model_cannot_go_on(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        reply = await resume(client, "pir_1", response="4", model="gpt-9")
        assert reply.status_code == 404 and reply.json()["error"]["code"] == "model_not_found"
    desk.gateway.models["scripted"].__dict__["digest"] = "of another tokenizer"
    async with in_process(desk) as client:
        reply = await resume(client, "pir_1", response="4")
        assert reply.status_code == 400 and reply.json()["error"]["code"] == "previous_response_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b'"4"', None),
        (b"{}", "response"),
        (b'{"response": ""}', "response"),
        (b'{"response": " \\n"}', "response"),
        (b'{"response": 4}', "response"),
        (b'{"response": ["4"]}', "response"),
        (b'{"response": "4", "action": "new"}', "action"),
        (b'{"response": "4", "messages": [{"role": "user", "content": "x"}]}', "messages"),
        (b'{"response": "4", "model": 7}', "model"),
        (b'{"response": "4", "pir": {"session": "pir_2"}}', "pir.session"),
        (b'{"response": "4", "pir": {"action": "new"}}', "pir.action"),
        (b'{"response": "4", "metadata": ' + b"[" * 500 + b"]" * 500 + b"}", None),
    ],
)
async def test_a_wrong_answer_is_told(make_desk: MakeDesk, body: bytes, param: str | None) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        reply = await client.post(f"{URL}/pir_1/resume", content=body)
        assert reply.status_code == 400, reply.text
        assert reply.json()["error"]["param"] == param
        assert len(desk.engine.requests) == 1


async def test_an_answer_beyond_the_limit_of_bodies_is_refused(make_desk: MakeDesk) -> None:
    desk = make_desk(curious, max_body_bytes=10_000)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        reply = await resume(client, "pir_1", response="4" * 10_000)
        assert reply.status_code == 413 and reply.json()["error"]["code"] == "request_too_large"


async def test_the_question_is_asked_again_where_it_waits(make_desk: MakeDesk) -> None:
    """The list leads to the answer: what a page of open questions does."""
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await keep(desk, 1, PROBLEM)
        (waiting,) = (await client.get(URL, params={"status": "awaiting_user"})).json()["data"]
        assert waiting["question"] == QUESTION
        (node,) = (await client.get(f"{URL}/{waiting['id']}")).json()["branches"]
        reply = await client.post(node["resume"]["path"], json={"response": "4"})
        assert message(reply)["content"] == "Six pens at 4 each."
