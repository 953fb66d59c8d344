"""Limits of a key: what is refused, what the refusal says, and when it passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from openai import OpenAI

from pir_serve.access.keys import Limits, make_key
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, sure
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
URL = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}


class Time:
    def __init__(self, desk: Desk) -> None:
        self.now = 1000.0
        desk.gateway.limiter._now = lambda: self.now


async def headers_of_key(desk: Desk, **limits: Any) -> dict[str, str]:
    secret, key = make_key(limits=Limits(**limits))
    await desk.gateway.store.keys.put(key)
    desk.gateway.auth._asked = float("-inf")
    return {"authorization": f"Bearer {secret}"}


def slowly(_: str) -> Line:
    return Line("\nOne. Two. Three. Four.\n</think>\nFive.", first_delay_s=0.3)


def assert_refused(reply: httpx.Response, kind: str) -> None:
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["type"]) == (429, "rate_limit_exceeded", kind)
    assert int(reply.headers["retry-after"]) >= 1
    assert "x-should-retry" not in reply.headers  # else the SDKs would give up
    assert reply.headers["x-request-id"]


async def test_requests_of_a_minute_then_a_refusal_that_passes(make_desk: MakeDesk) -> None:
    desk = make_desk(sure)
    clock = Time(desk)
    async with in_process(desk) as client:
        key, other = await headers_of_key(desk, requests_per_minute=3), await headers_of_key(desk)
        for left in (2, 1, 0):
            reply = await client.post(URL, json=CHAT, headers=key)
            assert reply.status_code == 200
            assert reply.headers["x-ratelimit-limit-requests"] == "3"
            assert reply.headers["x-ratelimit-remaining-requests"] == str(left)
        refused = await client.post(URL, json=CHAT, headers=key)
        assert_refused(refused, "requests")
        assert refused.headers["retry-after"] == "20" and refused.headers["x-ratelimit-reset-requests"] == "60.000s"
        assert len(desk.engine.requests) == 3
        assert (await client.get("/v1/models", headers=key)).status_code == 200  # looking is free
        assert (await client.post(URL, json=CHAT, headers=other)).status_code == 200
        clock.now += 20
        assert (await client.post(URL, json=CHAT, headers=key)).status_code == 200
        assert (await client.post(URL, json=CHAT, headers=key)).status_code == 429
        clock.now += 3600  # no more than a minute's worth is saved up
        replies = [await client.post(URL, json=CHAT, headers=key) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
        assert 'pir_limited_total{limit="requests"} 3.0' in (await client.get("/metrics")).text


async def test_tokens_beyond_a_minutes_worth_are_waited_for(make_desk: MakeDesk) -> None:
    desk = make_desk(sure)
    clock = Time(desk)
    async with in_process(desk) as client:
        key = await headers_of_key(desk, tokens_per_minute=60)
        used = 0
        while used <= 60:
            reply = await client.post(URL, json=CHAT, headers=key)
            assert reply.status_code == 200
            used += reply.json()["usage"]["total_tokens"]
        refused = await client.post(URL, json=CHAT, headers=key)
        assert_refused(refused, "tokens")
        assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
        assert int(refused.headers["retry-after"]) == used - 60 + 1  # a token a second
        clock.now += used - 60
        assert (await client.post(URL, json=CHAT, headers=key)).status_code == 429
        clock.now += 1
        assert (await client.post(URL, json=CHAT, headers=key)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", ["chat", "responses"])
async def test_replies_at_a_time_even_for_those_that_arrive_together(
    make_desk: MakeDesk, surface: str, stream: bool
) -> None:
    desk = make_desk(slowly)
    url, body = (URL, CHAT) if surface == "chat" else ("/v1/responses", {"model": "scripted", "input": PROBLEM})
    async with in_process(desk) as client:
        key = await headers_of_key(desk, max_streams=2)
        calls = [client.post(url, json={**body, "stream": stream}, headers=key) for _ in range(5)]
        replies = await asyncio.gather(*calls)
        assert sorted(reply.status_code for reply in replies) == [200, 200, 429, 429, 429]
        for reply in replies:
            if reply.status_code == 429:
                assert_refused(reply, "streams")
        assert (await client.post(url, json=body, headers=key)).status_code == 200


async def test_a_request_that_fails_before_it_generates_holds_no_place(make_desk: MakeDesk) -> None:
    desk = make_desk(slowly)
    async with in_process(desk) as client:
        key = await headers_of_key(desk, max_streams=1)
        wrong = [{**CHAT, "model": "no"}, {**CHAT, "max_tokens": 1 << 30}, {**CHAT, "pir": {"session": "pir_no"}}, {}]
        for body in wrong * 3:
            assert 400 <= (await client.post(URL, json=body, headers=key)).status_code < 429
        too_many = await client.post(URL, json={**CHAT, "n": 2}, headers=key)
        assert too_many.status_code == 400  # would never be allowed: no use in trying again
        assert (await client.post(URL, json=CHAT, headers=key)).status_code == 200


async def test_a_background_response_holds_its_place_until_it_has_ended(make_desk: MakeDesk) -> None:
    desk = make_desk(slowly)
    async with in_process(desk) as client:
        key = await headers_of_key(desk, max_streams=1)
        body = {"model": "scripted", "input": PROBLEM, "background": True}
        first = await client.post("/v1/responses", json=body, headers=key)
        assert first.status_code == 200
        assert_refused(await client.post("/v1/responses", json=body, headers=key), "streams")
        for _ in range(100):
            await asyncio.sleep(0.05)
            if (await client.get(f"/v1/responses/{first.json()['id']}", headers=key)).json()["status"] == "completed":
                break
        await asyncio.sleep(0.05)
        again = await client.post("/v1/responses", json={**body, "background": False}, headers=key)
        assert again.status_code == 200


def test_the_sdk_waits_as_told_and_succeeds(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(sure, api_key=("correct-horse",), requests_per_minute=60)) as desk:
        # A minute's worth is spent; one more is there in a second.
        bucket = desk.gateway.limiter
        caller = asyncio.run(desk.gateway.auth.caller({"authorization": "Bearer correct-horse"}))
        for _ in range(60):
            bucket.request(caller)
        client = OpenAI(base_url=f"{desk.url}/v1", api_key="correct-horse", max_retries=2)
        said = client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": PROBLEM}])
        assert said.choices[0].message.content == "The answer is 24."
        assert bucket.refused["requests"] >= 1
        client.close()


@pytest.mark.parametrize(("bound", "wanted", "is_asked"), [
    ("never", None, False), ("never", "auto", False), ("never", 5, False), ("max=1", "auto", True), (None, None, True),
    ("auto", "never", False),
])  # fmt: skip
async def test_a_keys_ask_policy_bounds_what_requests_want(
    make_desk: MakeDesk, bound: str | None, wanted: Any, is_asked: bool
) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        key = await headers_of_key(desk, ask=bound)
        pir = {} if wanted is None else {"pir": {"ask": wanted}}
        reply = (await client.post(URL, json={**CHAT, **pir}, headers=key)).json()
        assert (reply["choices"][0]["message"]["content"] == QUESTION) is is_asked


async def test_a_tenant_keeps_only_as_many_as_its_key_says(make_desk: MakeDesk) -> None:
    desk = make_desk(curious)
    async with in_process(desk) as client:
        few, many = await headers_of_key(desk, max_stored=2), await headers_of_key(desk)
        for key in (few, many):
            for n in range(4):
                body = {**CHAT, "messages": [{"role": "user", "content": f"{n}. {PROBLEM}"}]}
                assert (await client.post(URL, json=body, headers=key)).status_code == 200
        listed = [(await client.get("/v1/pir/sessions", headers=key)).json()["data"] for key in (few, many)]
        assert [len(sessions) for sessions in listed] == [2, 4]
        assert [session["title"][0] for session in listed[0]] == ["3", "2"]
