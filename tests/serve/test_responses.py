"""The Responses API over HTTP: question, answer, chains, and what is kept; each object is read with the SDK's types."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

from tests.serve.brains import PROBLEM, QUESTION, curious, responses, sure, twice_curious
from tests.serve.conftest import Desk, in_process
from tests.serve.responses_wire import (
    URL,
    Json,
    assembled,
    checked_items,
    checked_response,
    events_of,
    output_text,
)

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
BODY: Json = {"model": "scripted", "input": PROBLEM}
ASK: Json = {
    "type": "function",
    "name": "ask_user",
    "parameters": {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
}
FINAL = "Six pens at 4 dollars each."


async def made(client: httpx.AsyncClient, **more: Any) -> Json:
    reply = await client.post(URL, json=BODY | more)
    assert reply.status_code == 200, reply.text
    return checked_response(reply.json())


async def streamed(client: httpx.AsyncClient, **more: Any) -> Json:
    reply = await client.post(URL, json=BODY | more | {"stream": True})
    assert reply.status_code == 200, reply.text
    return assembled(events_of(reply.text))


@pytest.mark.parametrize("make", [made, streamed])
@pytest.mark.parametrize("tools", [None, [ASK]])
async def test_a_question_is_a_completed_response_and_its_id_resumes(
    make_desk: MakeDesk, make: Callable[..., Any], tools: Any
) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        first = await make(client, tools=tools, metadata={"mine": "1"})
        assert first["status"] == "completed" and first["error"] is None and first["incomplete_details"] is None
        assert [item["type"] for item in first["output"]] == ["reasoning", "function_call" if tools else "message"]
        reasoning, question = first["output"]
        assert reasoning["content"][0]["text"] == "The number of pens is 6.\nI need the price.\n"
        assert reasoning["encrypted_content"]
        pir = first["pir"]
        assert first["metadata"] == {"mine": "1", "pir_status": "awaiting_user", "pir_session": pir["session"]}
        answer: Any = "4 dollars"
        if tools:
            assert json.loads(question["arguments"]) == {"question": QUESTION} and question["name"] == "ask_user"
            assert question["call_id"] == f"call_{pir['session']}"
            answer = [
                {"type": "function_call_output", "call_id": question["call_id"], "output": '{"answer":"4 dollars"}'}
            ]
        else:
            assert output_text(first) == QUESTION
        final = await make(client, tools=tools, input=answer, previous_response_id=first["id"])
        assert output_text(final) == FINAL and final["previous_response_id"] == first["id"]
        assert final["metadata"]["pir_status"] == "completed" and "pir_session" not in final["metadata"]
        assert final["usage"]["input_tokens"] == len(desk.engine.requests[1].prompt_ids)
        fork = await make(client, input="5 dollars", previous_response_id=first["id"])
        assert output_text(fork) == "Six pens at 5 dollars each."
        follow = await made(client, input="And for 7?", previous_response_id=final["id"])
        assert follow["pir"]["status"] == "awaiting_user"  # a new reasoning, which asks again
    before = desk.engine.requests[0].prompt_ids
    assert all(request.prompt_ids[: len(before)] == before for request in desk.engine.requests[1:3])
    prompt = desk.engine.prompt_text(3)
    for text in (PROBLEM, QUESTION, "4 dollars", FINAL, "And for 7?"):
        assert text in prompt


async def test_stream_and_whole_reply_say_the_same(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        for more in ({}, {"tools": [ASK]}, {"model": "scripted:no-ask"}, {"max_output_tokens": 9}):
            whole, stream = await made(client, **more), await streamed(client, **more)
            for response in (whole, stream):
                for item in response["output"]:
                    for key in ("id", "call_id", "encrypted_content"):
                        item.pop(key, None)
                for key in ("id", "created_at", "completed_at", "usage"):
                    response.pop(key)
                for place in (response["pir"], response["metadata"]):
                    for key in ("session", "pir_session", "expires_at"):
                        place.pop(key, None)
            assert whole == stream


async def test_the_events_come_in_the_documented_order(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        for tools, last in (
            (None, ["output_item.added", "content_part.added", "output_text.delta", "output_text.done",
                    "content_part.done", "output_item.done"]),
            ([ASK], ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
                     "output_item.done"]),
        ):  # fmt: skip
            text = (await client.post(URL, json=BODY | {"stream": True, "tools": tools})).text
            assert "\nid:" not in text
            kinds = [e["type"].removeprefix("response.") for e in events_of(text)]
            unique = [k for k, before in zip(kinds, [None, *kinds], strict=False) if k != before]
            assert unique == [
                "created", "in_progress", "output_item.added", "content_part.added", "reasoning_text.delta",
                "reasoning_text.done", "content_part.done", "output_item.done", *last, "completed",
            ]  # fmt: skip


async def test_limits_failures_and_refused_asks_have_their_statuses(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious, auto_response="Take a guess.")) as client:
        for make in (made, streamed):
            short = await make(client, max_output_tokens=9)
            assert short["status"] == "incomplete" and short["incomplete_details"] == {"reason": "max_output_tokens"}
            assert short["output"][0]["status"] == "incomplete"
            never = await make(client, text={"format": {"type": "json_object"}})
            assert output_text(never) == "Six pens at Take a guess. each."
            assert never["pir"]["auto_answers"][0]["reason"] == "never"
            assert never["usage"]["pir"] == {"auto_answers": 1}
    async with in_process(make_desk(["\nI do not know.", ""] * 2)) as client:
        for make in (made, streamed):
            lost = await make(client)
            assert lost["status"] == "failed" and "missing_think_close" in lost["error"]["message"]


async def test_an_engine_that_dies_is_an_error_or_a_failed_response(make_desk: MakeDesk) -> None:
    from tests.fakes import Line

    desk = make_desk(lambda prompt: Line("\nThe number" if prompt.endswith("<think>\n") else "", end="die"))
    async with in_process(desk) as client:
        reply = await client.post(URL, json=BODY)
        assert reply.status_code == 503 and reply.json()["error"]["code"] == "engine_unavailable"
        reply = await client.post(URL, json=BODY | {"stream": True})
        final = assembled(events_of(reply.text))
        assert final["status"] == "failed" and final["error"]["message"].startswith("engine_unavailable")
        stored = await client.get(f"{URL}/{final['id']}")
        assert stored.json() == final
        again = await client.post(URL, json=BODY | {"previous_response_id": final["id"]})
        assert again.status_code == 400 and again.json()["error"]["param"] == "previous_response_id"


async def test_instructions_are_not_inherited(make_desk: MakeDesk) -> None:
    desk = make_desk(sure)
    async with in_process(desk) as client:
        first = await made(client, instructions="Answer in French.")
        assert "Answer in French." in desk.engine.prompt_text(0)
        second = await made(client, input="And for 7?", previous_response_id=first["id"])
        assert second["instructions"] is None
        assert "French" not in desk.engine.prompt_text(1) and PROBLEM in desk.engine.prompt_text(1)


async def test_what_is_stored_can_be_read_listed_and_deleted(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        items = [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hello", "id": "msg_mine"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "Hello!", "annotations": []}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": PROBLEM}]},
        ]
        first = await made(client, input=items)
        where = f"{URL}/{first['id']}"
        assert (await client.get(where)).json() == first
        newest = checked_items((await client.get(f"{where}/input_items")).json())
        assert [i["role"] for i in newest["data"]] == ["user", "assistant", "user", "developer"]
        assert not newest["has_more"] and newest["data"][2]["id"] == "msg_mine"
        page = checked_items((await client.get(f"{where}/input_items?order=asc&limit=3")).json())
        assert page["has_more"] and [i["role"] for i in page["data"]] == ["developer", "user", "assistant"]
        rest = (await client.get(f"{where}/input_items?order=asc&limit=3&after={page['last_id']}")).json()
        assert [i["role"] for i in rest["data"]] == ["user"] and rest["first_id"] == rest["last_id"]
        for wrong in ("limit=0", "limit=x", "order=up", "after=nothing"):
            assert (await client.get(f"{where}/input_items?{wrong}")).status_code == 400
        assert (await client.post(f"{where}/cancel")).status_code == 400
        assert (await client.get(f"{where}?stream=true")).status_code == 400
        assert (await client.delete(where)).json() == {"id": first["id"], "object": "response", "deleted": True}
        for reply in (await client.get(where), await client.delete(where), await client.get(f"{where}/input_items")):
            assert reply.status_code == 404 and reply.json()["error"]["code"] == "response_not_found"
        gone = await client.post(URL, json=BODY | {"previous_response_id": first["id"]})
        assert gone.status_code == 400 and gone.json()["error"]["code"] == "previous_response_not_found"
        assert gone.headers["x-should-retry"] == "false"


async def test_tenants_do_not_see_each_other(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious, api_key=("correct-horse", "battery-staple"))) as client:
        client.headers["authorization"] = "Bearer correct-horse"
        first = await made(client)
        kept = await made(client, store=False)
        client.headers["authorization"] = "Bearer battery-staple"
        assert (await client.get(f"{URL}/{first['id']}")).status_code == 404
        reply = await client.post(URL, json=BODY | {"previous_response_id": first["id"]})
        assert reply.json()["error"]["code"] == "previous_response_not_found"
        history = [{"role": "user", "content": PROBLEM}, *kept["output"], {"role": "user", "content": "4"}]
        reply = await client.post(URL, json={"model": "scripted", "input": history})
        assert reply.headers["x-pir-resume"] == "rebuilt"
        del client.headers["authorization"]
        for reply in (await client.post(URL, json=BODY), await client.get(f"{URL}/{first['id']}")):
            assert reply.status_code == 401


@pytest.mark.parametrize("tools", [None, [ASK]])
async def test_echoed_items_resume_without_a_database(make_desk: MakeDesk, tmp_path: Path, tools: Any) -> None:
    """Another gateway with an empty store, and the same secret."""
    first_desk, second_desk = make_desk(curious), make_desk(curious, store=tmp_path / "another.db")
    async with in_process(first_desk) as one, in_process(second_desk) as other:
        first = await streamed(one, store=False, tools=tools, include=["reasoning.encrypted_content"])
        assert first["store"] is False and first_desk.num_suspended == 0
        assert (await one.get(f"{URL}/{first['id']}")).status_code == 404
        answer: Json = {"role": "user", "content": "4 dollars"}
        if tools:
            call_id = first["output"][1]["call_id"]
            answer = {"type": "function_call_output", "call_id": call_id, "output": "4 dollars"}
        history = [{"role": "user", "content": PROBLEM}, *first["output"], answer]
        for client in (other, one):
            reply = await client.post(URL, json={"model": "scripted", "input": history, "store": False})
            assert reply.headers["x-pir-resume"] == "sealed"
            assert output_text(checked_response(reply.json())) == FINAL
        history[0] = {"role": "user", "content": "Something else?"}
        reply = await other.post(URL, json={"model": "scripted", "input": history, "store": False})
        assert reply.headers["x-pir-resume"] == "rebuilt"  # an edited history
        forged = first["output"][0]["encrypted_content"][:-4] + "AAAA"
        history = [{"role": "user", "content": PROBLEM}, first["output"][0] | {"encrypted_content": forged}]
        reply = await other.post(URL, json={"model": "scripted", "input": [*history, first["output"][1], answer]})
        assert reply.headers["x-pir-resume"] == "rebuilt"
    same = second_desk.engine.requests[0].prompt_ids == first_desk.engine.requests[1].prompt_ids
    assert same, "the same ids, to the last"


async def test_a_lost_question_is_rebuilt_or_refused(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        first = await made(client)
        await desk.gateway.store.delete("local", first["pir"]["session"])
        body = BODY | {"input": "4 dollars", "previous_response_id": first["id"]}
        reply = await client.post(URL, json=body)
        assert reply.headers["x-pir-resume"] == "rebuilt" and reply.status_code == 200
        reply = await client.post(URL, json=body | {"pir": {"strict": True}})
        assert reply.json()["error"]["code"] == "previous_response_not_found"


def test_the_sdk_creates_streams_retrieves_lists_and_deletes(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(twice_curious)) as desk, OpenAI(base_url=f"{desk.url}/v1", api_key="x") as client:
        first = client.responses.create(model="scripted", input=PROBLEM)
        assert first.output_text == QUESTION and first.metadata and first.metadata["pir_status"] == "awaiting_user"
        with client.responses.stream(model="scripted", input="4", previous_response_id=first.id) as stream:
            second = stream.get_final_response()
        assert second.output_text == "Which currency?"
        events = client.responses.create(
            model="scripted",
            input="euros",
            previous_response_id=second.id,
            stream=True,
            extra_body={"pir": {"ask": "never"}},
        )
        final = list(events)[-1]
        assert final.type == "response.completed" and final.response.output_text == "Six pens at 4 euros."
        assert client.responses.retrieve(second.id).output_text == "Which currency?"
        assert [item.type for item in client.responses.input_items.list(second.id)] == ["message"]
        client.responses.delete(second.id)
        with pytest.raises(NotFoundError):
            client.responses.retrieve(second.id)
        with pytest.raises(BadRequestError, match="there is no response"):
            client.responses.create(model="scripted", input="x", previous_response_id=second.id)


def test_the_async_sdk_does_the_same(make_desk: MakeDesk, on_port: Serve) -> None:
    import asyncio

    async def play(url: str) -> None:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="x") as client:
            history: list[Any] = [{"role": "user", "content": PROBLEM}]
            async with client.responses.stream(model="scripted", input=history, store=False) as stream:
                first = await stream.get_final_response()
            history += [item.to_dict() for item in first.output]
            history.append({"role": "user", "content": "4 dollars"})
            final = await client.responses.create(model="scripted", input=history, store=False)
            assert final.output_text == FINAL

    with on_port(make_desk(curious)) as desk:
        asyncio.run(play(desk.url))


async def test_a_response_of_a_chat_session_and_of_the_screen(make_desk: MakeDesk) -> None:
    """The rest of what `pir` can say works here too."""

    def nosy(prompt: str) -> str:
        told = responses(prompt)
        return f"\n</think>\nTold: {told[-1]}" if told else "\n<asking>What is your password?</asking>"

    async with in_process(make_desk(curious)) as client:
        chat = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
        session = (await client.post("/v1/chat/completions", json=chat)).headers["x-pir-session"]
        final = await made(client, input="4 dollars", pir={"session": session, "uncertainty": True})
        assert output_text(final) == FINAL and final["pir"]["uncertainty"]
    async with in_process(make_desk(nosy)) as client:
        screened = await made(client)
        assert output_text(screened).startswith("Told: ")
        assert screened["pir"]["auto_answers"][0]["reason"].startswith("screen:")
