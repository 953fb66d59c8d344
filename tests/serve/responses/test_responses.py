"""The Responses API over HTTP: question, answer, chains, and what is kept; each object is read with the SDK's types."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

from tests.serve.brains import PROBLEM, QUESTION, curious, responses, sure, twice_curious
from tests.serve.conftest import Desk, in_process
from tests.serve.responses.wire import (
    ASK,
    BODY,
    FINAL,
    URL,
    assembled,
    events_of,
    made,
    output_text,
    streamed,
)

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]


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
                    for key in ("session", "pir_session", "node", "expires_at"):
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
