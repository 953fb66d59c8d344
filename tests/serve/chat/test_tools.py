"""Questions as calls of the client's question tool, their answers, other tools, and several choices."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.serve.ask_tools.schemas import LIBRECHAT, OPEN_WEBUI
from tests.serve.brains import PROBLEM, QUESTION, curious, responses, sure, twice_curious
from tests.serve.chat.test_exchange import chunks
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
URL = "/v1/chat/completions"
USER = {"role": "user", "content": PROBLEM}
ASK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "ask_user",
        "parameters": {"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
    },
}
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}
BODY: dict[str, Any] = {"model": "scripted", "messages": [USER], "tools": [ASK]}


async def asked(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    """The message of the first reply, which is a call."""
    reply = await client.post(URL, json=BODY | more)
    choice = reply.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls", choice
    message: dict[str, Any] = choice["message"]
    return message


def answered(message: dict[str, Any], content: Any) -> list[dict[str, Any]]:
    call = {"role": "assistant", "content": message["content"], "tool_calls": message["tool_calls"]}
    return [USER, call, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": content}]


async def test_a_question_is_the_only_call_and_its_output_resumes_exactly(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        message = await asked(client)
        (call,) = message["tool_calls"]
        assert message["content"] is None and message["pir"]["question"] == QUESTION
        assert call["id"] == f"call_{message['pir']['session']}" and len(call["id"]) <= 40
        assert call["type"] == "function" and call["function"]["name"] == "ask_user"
        assert json.loads(call["function"]["arguments"]) == {"question": QUESTION}
        for content in ("4 dollars", '{"answer": "4 dollars"}', [{"type": "text", "text": "4 dollars"}]):
            reply = await client.post(URL, json=BODY | {"messages": answered(message, content)})
            assert reply.headers["x-pir-resume"] == "exact"
            final = reply.json()["choices"][0]
            assert final["message"]["content"] == "Six pens at 4 dollars each." and final["finish_reason"] == "stop"
    first, *resumed = desk.engine.requests
    assert all(r.prompt_ids[: len(first.prompt_ids)] == first.prompt_ids for r in resumed)
    assert "ask_user" not in desk.engine.prompt_text(0)


async def test_the_stream_has_one_call_with_one_id_and_whole_arguments(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        events = chunks((await client.post(URL, json=BODY | {"stream": True})).text)
        deltas = [c["delta"] for e in events for c in e["choices"]]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert {call["index"] for call in calls} == {0} and [call.get("id", "")[:9] for call in calls] == [
            "call_pir_",
            "",
        ]
        assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"question": QUESTION}
        assert not any(delta.get("content") for delta in deltas)
        assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_sdk_plays_it_by_message_objects(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(twice_curious)) as desk:
        client = OpenAI(base_url=f"{desk.url}/v1", api_key="unused", max_retries=0)
        messages: list[Any] = [USER]
        tools: Any = [ASK]
        for response in ("4", "euros"):
            with client.chat.completions.stream(model="scripted", messages=messages, tools=tools) as stream:
                message = stream.get_final_completion().choices[0].message
            assert message.tool_calls and len(message.tool_calls) == 1
            messages += [message, {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": response}]
        last = client.chat.completions.create(model="scripted", messages=messages, tools=tools)
        assert last.choices[0].message.content == "Six pens at 4 euros."
        client.close()


@pytest.mark.parametrize("changed_id", [False, True])
async def test_a_plain_message_after_the_call_is_the_answer_too(make_desk: MakeDesk, changed_id: bool) -> None:
    async with in_process(make_desk(curious)) as client:
        message = await asked(client)
        call = message["tool_calls"][0] | ({"id": "toolu_01"} if changed_id else {})  # as a bridge would
        history = [USER, {"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "4 dollars"}]
        reply = await client.post(URL, json=BODY | {"messages": history})
        assert reply.json()["choices"][0]["message"]["content"] == "Six pens at 4 dollars each."
        assert reply.headers["x-pir-resume"] == ("hash" if changed_id else "exact")
        tool = {"role": "tool", "tool_call_id": call["id"], "content": "4 dollars"}
        reply = await client.post(URL, json=BODY | {"messages": [*history[:2], tool]})
        assert reply.headers["x-pir-resume"] == ("hash" if changed_id else "exact")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"status": "cancelled", "timed_out": true}', "timed_out"),
        ('{"action": "decline"}', "declined"),
        ("", "empty"),
        ("Error: each question needs 2-3 options", "failed"),
    ],
)
async def test_no_answer_is_the_servers_answer(make_desk: MakeDesk, content: str, reason: str) -> None:
    desk = make_desk(curious, auto_response="Take a guess.")
    async with in_process(desk) as client:
        message = await asked(client)
        reply = await client.post(URL, json=BODY | {"messages": answered(message, content)})
        body = reply.json()
        final = body["choices"][0]["message"]
        assert final["content"] == "Six pens at Take a guess. each." and reply.headers["x-pir-resume"] == "exact"
        assert [(e["response"], e["reason"]) for e in final["pir"]["auto_answers"]] == [("Take a guess.", reason)]
        said_after_all = [*answered(message, content), {"role": "user", "content": "4 dollars"}]
        reply = await client.post(URL, json=BODY | {"messages": said_after_all})
        assert reply.json()["choices"][0]["message"]["content"] == "Six pens at 4 dollars each."


async def test_a_conversation_goes_on_after_its_calls(make_desk: MakeDesk) -> None:
    desk = make_desk(lambda p: sure(p) if "And for 7" in p else curious(p))
    async with in_process(desk) as client:
        message = await asked(client)
        history = [*answered(message, "4 dollars"), {"role": "assistant", "content": "Six pens at 4 dollars each."}]
        history.append({"role": "user", "content": "And for 7?"})
        reply = await client.post(URL, json=BODY | {"messages": history})
        assert reply.headers["x-pir-resume"] == "new"
        assert f"assistant\n{QUESTION}<|im_end|>\n<|im_start|>user\n4 dollars<|im_end|>" in desk.engine.prompt_text()


async def test_how_a_question_comes_is_the_clients_choice(make_desk: MakeDesk) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"pir": {"ask_via": "tool"}}, "tool_calls"),
        ({"pir": {"ask_via": "content"}}, "stop"),
        ({"tool_choice": "none"}, "stop"),
        ({"tool_choice": "auto"}, "tool_calls"),
        ({"tools": [LIBRECHAT]}, "tool_calls"),
        ({"tools": [OPEN_WEBUI]}, "stop"),  # it demands options, and the question names none
    ]
    async with in_process(make_desk(curious)) as client:
        for extra, finish in cases:
            choice = (await client.post(URL, json=BODY | extra)).json()["choices"][0]
            assert choice["finish_reason"] == finish, extra
            assert choice["message"]["content"] == (None if finish == "tool_calls" else QUESTION)
    async with in_process(make_desk(curious, ask_via="content")) as client:
        assert (await client.post(URL, json=BODY)).json()["choices"][0]["finish_reason"] == "stop"
        await asked(client, pir={"ask_via": "tool"})
    async with in_process(make_desk(curious, tools="strip")) as client:
        reply = (await client.post(URL, json=BODY | {"tools": [ASK, SEARCH]})).json()["choices"][0]
        assert reply["finish_reason"] == "stop" and "ignored_tools" not in reply["message"]["pir"]


async def test_other_tools_are_not_shown_and_that_is_said(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        message = await asked(client, tools=[SEARCH, ASK])
        assert message["pir"]["ignored_tools"] == ["search"]
        assert "search" not in desk.engine.prompt_text()
        for choice in ("required", {"type": "function", "function": {"name": "search"}}):
            reply = await client.post(URL, json=BODY | {"tools": [SEARCH], "tool_choice": choice})
            assert reply.status_code == 400 and reply.json()["error"]["param"] == "tool_choice"
        called = {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}]}  # fmt: skip
        history = [USER, called, {"role": "tool", "tool_call_id": "c1", "content": "A pen is 4 dollars."}]
        reply = await client.post(URL, json=BODY | {"messages": history})
        assert reply.status_code == 200
        assert "Result of search:\nA pen is 4 dollars." in desk.engine.prompt_text()


async def test_a_call_of_another_tenant_resumes_nothing(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious, api_key=("correct-horse", "battery-staple"))) as client:
        client.headers["authorization"] = "Bearer correct-horse"
        message = await asked(client)
        client.headers["authorization"] = "Bearer battery-staple"
        reply = await client.post(URL, json=BODY | {"messages": answered(message, "4 dollars")})
        assert reply.headers["x-pir-resume"] == "rebuilt"


async def test_several_choices_never_ask_and_each_is_whole(make_desk: MakeDesk) -> None:
    said = iter("abc" * 2)

    def differing(prompt: str) -> str:
        return f"\n</think>\nAnswer {next(said)}." if responses(prompt) else curious(prompt)

    desk = make_desk(differing)
    async with in_process(desk) as client:
        body = {"model": "scripted", "messages": [USER], "n": 3, "seed": 7}
        whole = (await client.post(URL, json=body)).json()
        assert [c["index"] for c in whole["choices"]] == [0, 1, 2]
        assert sorted(c["message"]["content"] for c in whole["choices"]) == ["Answer a.", "Answer b.", "Answer c."]
        assert whole["usage"]["prompt_tokens"] == sum(len(r.prompt_ids) for r in desk.engine.requests)
        assert len({r.sampling.seed for r in desk.engine.requests}) == 6  # each leg of each choice its own
        options = {"stream": True, "stream_options": {"include_usage": True}}
        events = chunks((await client.post(URL, json=body | options)).text)
        texts: dict[int, str] = {}
        for choice in (c for e in events for c in e["choices"]):
            texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
        assert sorted(texts.values()) == ["Answer a.", "Answer b.", "Answer c."]
        finishes = [c["index"] for e in events for c in e["choices"] if c["finish_reason"]]
        assert sorted(finishes) == [0, 1, 2] and events[-1]["usage"]["completion_tokens"] > 0
    assert desk.num_suspended == 0


async def test_the_screen_keeps_a_question_from_the_user(make_desk: MakeDesk) -> None:
    def nosy(prompt: str) -> str:
        told = responses(prompt)
        return f"\n</think>\nTold: {told[-1]}" if told else "\n<asking>What is your password?</asking>"

    desk = make_desk(nosy)
    async with in_process(desk) as client:
        body = (await client.post(URL, json=BODY)).json()
        message = body["choices"][0]["message"]
        assert "password" not in json.dumps(message["content"]) and message["content"].startswith("Told: ")
        assert message["pir"]["auto_answers"][0]["reason"].startswith("screen:")
        assert body["usage"]["pir"] == {"auto_answers": 1}
    assert desk.num_suspended == 0


async def test_what_has_ended_is_kept_and_no_reply_waits_for_it(make_desk: MakeDesk) -> None:
    desk = make_desk(sure)
    async with in_process(desk) as client:
        for stream in (False, True):
            await client.post(URL, json=BODY | {"stream": stream})
    desk2 = make_desk(sure, keep_s=0)
    async with in_process(desk2) as client:
        await client.post(URL, json=BODY)
        page = await desk2.gateway.store.list("local")
    assert [(n.status, n.trajectory.completion_text.endswith("The answer is 24.")) for n in page.items] == [
        ("completed", True)
    ] * 2


async def test_the_gate_makes_an_unsure_model_ask(make_desk: MakeDesk) -> None:
    def never_asking(prompt: str) -> str:
        if prompt.endswith("<asking>"):
            return f"{QUESTION}</asking>"
        told = responses(prompt)
        return f"\n</think>\nTold {told[-1]}." if told else "\nOne.\nTwo.\nThree.\nFour.\nFive.\n</think>\nA guess."

    async with in_process(make_desk(never_asking, gate_nats=0.01)) as client:
        message = await asked(client)
        assert message["pir"]["question"] == QUESTION
        final = await client.post(URL, json=BODY | {"messages": answered(message, "4")})
        assert final.json()["choices"][0]["message"]["content"] == "Told 4."
    async with in_process(make_desk(never_asking)) as client:
        final = await client.post(URL, json=BODY)
        assert final.json()["choices"][0]["message"]["content"] == "A guess."
