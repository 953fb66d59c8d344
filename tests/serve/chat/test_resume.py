"""The event table of the protocol: how a request finds the reasoning it continues, and what happens when it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serve.brains import PROBLEM, QUESTION, curious, turn_so_far
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
FIRST = [{"role": "user", "content": PROBLEM}]
URL = "/v1/chat/completions"


def reply_to(
    question: str, response: str, *, problem: str = PROBLEM, system: str | None = None
) -> list[dict[str, Any]]:
    messages = [{"role": "system", "content": system}] if system else []
    return [
        *messages,
        {"role": "user", "content": problem},
        {"role": "assistant", "content": question},
        {"role": "user", "content": response},
    ]


async def post(
    client: httpx.AsyncClient, messages: list[dict[str, Any]], headers: dict[str, str] | None = None, **extra: Any
) -> httpx.Response:
    return await client.post(URL, json={"model": "scripted", "messages": messages, **extra}, headers=headers)


def content(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


async def asked(
    client: httpx.AsyncClient, messages: list[dict[str, Any]] | None = None, **extra: Any
) -> dict[str, Any]:
    reply = await post(client, messages or FIRST, **extra)
    message: dict[str, Any] = reply.json()["choices"][0]["message"]
    assert message["pir"]["status"] == "awaiting_user"
    return message


async def test_the_next_user_message_resumes_by_text_alone(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        await asked(client)
        reply = await post(client, reply_to(QUESTION, "4 dollars"))
        assert content(reply) == "Six pens at 4 dollars each."
        assert reply.headers["x-pir-resume"] == "hash"


async def test_an_explicit_session_needs_the_response_only(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        session = (await asked(client))["pir"]["session"]
        answer = [{"role": "user", "content": "4 euros"}]
        by_body = await post(client, answer, pir={"session": session})
        by_header = await post(client, answer, headers={"X-PIR-Session": session})
        for reply in (by_body, by_header):
            assert content(reply) == "Six pens at 4 euros each."
            assert reply.headers["x-pir-resume"] == "exact"


async def test_sealed_state_resumes_where_the_text_was_rewritten(make_desk: MakeDesk) -> None:
    """Retrieval wraps the last user message; on the next turn it comes back bare, and the transcript's hash misses."""
    wrapped = f"Use this context:\n<context>pens are blue</context>\n{PROBLEM}"
    async with in_process(make_desk(curious)) as client:
        message = await asked(client, [{"role": "user", "content": wrapped}])
        bare = reply_to(QUESTION, "4 dollars")
        assert (await post(client, bare)).headers["x-pir-resume"] == "heuristic"
        details = {"reasoning_details": message["reasoning_details"]}
        for carrier in (details, {"provider_specific_fields": details}):  # as it came; as the LiteLLM proxy moves it
            messages = [bare[0], bare[1] | carrier, bare[2]]
            assert (await post(client, messages)).headers["x-pir-resume"] == "sealed"
        for nonsense in (7, [], {"reasoning_details": "x"}, {"reasoning_details": [None]}):
            messages = [bare[0], bare[1] | {"provider_specific_fields": nonsense}, bare[2]]
            assert (await post(client, messages)).headers["x-pir-resume"] == "heuristic"


async def test_regenerating_and_editing_the_answer_are_branches_of_one_question(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await asked(client)
        for response in ("4 dollars", "4 dollars", "5 dollars"):
            assert content(await post(client, reply_to(QUESTION, response))) == f"Six pens at {response} each."
        prompts = [r.prompt_ids for r in desk.engine.requests[1:]]
        assert prompts[0] == prompts[1] != prompts[2]
        assert desk.num_suspended == 1


async def test_two_clients_that_race_both_succeed(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        await asked(client)
        responses = [f"{n} dollars" for n in range(2, 12)]
        replies = await asyncio.gather(*(post(client, reply_to(QUESTION, r)) for r in responses))
        assert [content(r) for r in replies] == [f"Six pens at {r} each." for r in responses]


async def test_editing_an_earlier_message_starts_fresh(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        message = await asked(client)
        edited = reply_to(QUESTION, "4 dollars", problem="Nora buys 9 pens. How much does she pay?")
        edited[1]["reasoning_details"] = message["reasoning_details"]
        reply = await post(client, edited)
        assert reply.headers["x-pir-resume"] == "rebuilt"
        assert "9 pens" in desk.engine.prompt_text() and "6 pens" not in desk.engine.prompt_text()


async def test_the_same_question_asked_twice_resumes_the_newest(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        await asked(client)
        newest = (await asked(client))["pir"]["session"]
        assert newest
        assert content(await post(client, reply_to(QUESTION, "4"))) == "Six pens at 4 each."


@pytest.mark.parametrize("how", ["body", "header"])
async def test_new_starts_fresh_whatever_is_suspended(make_desk: MakeDesk, how: str) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        await asked(client)
        extra: dict[str, Any] = {"pir": {"action": "new"}} if how == "body" else {}
        headers = {"X-PIR-Action": "new"} if how == "header" else {}
        reply = await post(client, reply_to(QUESTION, "4"), headers, **extra)
        assert reply.headers["x-pir-resume"] == "new"
        assert content(reply) == QUESTION
        assert turn_so_far(desk.engine.prompt_text()) == "<think>\n"


async def test_a_changed_system_message_does_not_resume_anothers_reasoning(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        await asked(client, reply_to(QUESTION, "x", system="Memory: I am Ann.")[:2])
        theirs = await post(client, reply_to(QUESTION, "4", system="Memory: I am Bob."))
        assert theirs.headers["x-pir-resume"] == "rebuilt"
        dropped = await post(client, reply_to(QUESTION, "4"))  # Gradio sends it on the first turn only
        assert dropped.headers["x-pir-resume"] == "hash"


async def test_an_expired_question_is_rebuilt_from_the_visible_text_and_said_so(make_desk: MakeDesk) -> None:
    desk = make_desk(curious, ttl_s=1.0)
    async with in_process(desk) as client:
        message = await asked(client)
        await asyncio.sleep(1.1)
        reply = await post(client, reply_to(QUESTION, "4 dollars"))
        assert reply.headers["x-pir-resume"] == "rebuilt"
        prompt = desk.engine.prompt_text()
        assert f"<|im_start|>assistant\n{QUESTION}<|im_end|>\n<|im_start|>user\n4 dollars<|im_end|>" in prompt

        named = {"session": message["pir"]["session"]}
        reply = await post(client, reply_to(QUESTION, "4 dollars"), pir=named)
        assert reply.headers["x-pir-resume"] == "rebuilt"
        alone = await post(client, [{"role": "user", "content": "4 dollars"}], pir=named)
        strict = await post(client, reply_to(QUESTION, "4 dollars"), pir={**named, "strict": True})
        for reply in (alone, strict):
            assert reply.status_code == 400
            assert reply.json()["error"]["code"] == "previous_response_not_found"
            assert reply.headers["x-should-retry"] == "false"


async def test_strict_servers_refuse_what_they_cannot_resume(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious, strict_resume=True)) as client:
        reply = await post(client, reply_to("Was this ever asked?", "yes"))
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "previous_response_not_found")
        assert (await post(client, FIRST)).status_code == 200


async def test_tenants_never_meet(make_desk: MakeDesk) -> None:
    keys = ("key-of-tenant-a", "key-of-tenant-b")
    async with in_process(make_desk(curious, api_key=keys)) as client:
        ann, bob = ({"Authorization": f"Bearer {key}"} for key in keys)
        first = await post(client, FIRST, ann)
        message = first.json()["choices"][0]["message"]
        messages = reply_to(QUESTION, "4")
        messages[1]["reasoning_details"] = message["reasoning_details"]
        assert (await post(client, messages, bob)).headers["x-pir-resume"] == "rebuilt"
        session = {"session": message["pir"]["session"]}
        stolen = await post(client, [{"role": "user", "content": "4"}], bob, pir=session)
        assert (stolen.status_code, stolen.json()["error"]["code"]) == (400, "previous_response_not_found")
        assert (await post(client, messages, ann)).headers["x-pir-resume"] == "sealed"


@pytest.mark.parametrize("state", ["", "x", "A" * 139, "\u2603" * 40, "AV" * 4000])
async def test_forged_state_is_ignored(make_desk: MakeDesk, state: str) -> None:
    async with in_process(make_desk(curious)) as client:
        await asked(client)
        messages = reply_to(QUESTION, "4")
        messages[1]["reasoning_details"] = [{"type": "reasoning.encrypted", "format": "pir-v1", "data": state}, 7, None]
        assert (await post(client, messages)).headers["x-pir-resume"] == "hash"


async def test_a_store_out_of_order_does_not_stop_the_chat(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        session = (await asked(client))["pir"]["session"]
        await desk.gateway.store.aclose()
        message = await asked(client)
        assert message["content"] == QUESTION and message["pir"]["stored"] is False
        assert (await post(client, reply_to(QUESTION, "4"))).headers["x-pir-resume"] == "rebuilt"
        named = await post(client, [{"role": "user", "content": "4"}], pir={"session": session})
        assert (named.status_code, named.json()["error"]["code"]) == (503, "store_unavailable")


async def test_the_question_is_stored_before_its_last_chunk_leaves(make_desk: MakeDesk) -> None:
    """A client that resumes at once, in the moment it has read the question, must not be too early."""
    desk = make_desk(curious)
    async with in_process(desk) as client:
        for n in range(20):
            problem = f"Nora buys 6 pens on day {n}. How much does she pay?"
            first = await post(client, [{"role": "user", "content": problem}], stream=True)
            assert first.text.endswith("data: [DONE]\n\n")
            reply = await post(client, reply_to(QUESTION, "4", problem=problem))
            assert reply.headers["x-pir-resume"] == "hash"


async def test_expiry_is_told_in_unix_seconds(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious, ttl_s=3600)) as client:
        expires_at = (await asked(client))["pir"]["expires_at"]
        assert abs(expires_at - time.time() - 3600) < 5


async def test_scopes_tell_two_chats_with_the_same_words_apart(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        for chat in ("a", "b"):
            await post(client, FIRST, {"X-PIR-Conversation": chat}, seed=ord(chat))
        await post(client, reply_to(QUESTION, "4"), {"X-PIR-Conversation": "a"}, stop="x")
        sent = desk.engine.requests
        assert sent[2].session == sent[0].session != sent[1].session
