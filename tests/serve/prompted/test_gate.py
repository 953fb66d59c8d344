"""The uncertainty gate as an option of one request, for models that seldom ask by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serve.brains import PROBLEM, QUESTION, turn_so_far
from tests.serve.conftest import in_process

URL = "/v1/chat/completions"


def never_asking(prompt: str) -> str:
    """Unless `<asking>` is written for it: then it completes the question."""
    turn = turn_so_far(prompt)
    if turn.endswith("<asking>"):
        return f"{QUESTION}</asking>"
    return (
        "\nSix pens.\nPerhaps 3 each.\nSo 18.\nYes.\n</think>\n18."
        if "<response>" not in turn
        else "\nSo 24.\n</think>\n24."
    )


async def ask(client: httpx.AsyncClient, messages: list[dict[str, str]], **pir: Any) -> dict[str, Any]:
    reply = await client.post(URL, json={"model": "scripted", "messages": messages, "pir": pir})
    assert reply.status_code == 200, reply.text
    message: dict[str, Any] = reply.json()["choices"][0]["message"]
    return message


TALK = [{"role": "user", "content": PROBLEM}]


async def test_a_request_sets_the_gate_for_itself(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(never_asking)
    async with in_process(desk) as client:
        assert (await ask(client, TALK))["content"] == "18."
        assert not desk.engine.requests[-1].logprobs
        asked = await ask(client, TALK, gate=0.01)
        assert (asked["content"], asked["pir"]["status"]) == (QUESTION, "awaiting_user")
        assert desk.engine.requests[-2].logprobs
        assert (await ask(client, TALK, gate=99))["content"] == "18."
        assert (await ask(client, TALK, gate=0.01, ask="never"))["content"] == "18."


async def test_a_request_shuts_the_servers_gate(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(never_asking, gate_nats=0.01)
    async with in_process(desk) as client:
        assert (await ask(client, TALK))["content"] == QUESTION
        assert (await ask(client, TALK, gate="off"))["content"] == "18."
        assert not desk.engine.requests[-1].logprobs


async def test_a_reasoning_goes_on_with_the_gate_it_began_with(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(never_asking)
    async with in_process(desk) as client:
        asked = await ask(client, TALK, gate=0.01)
        answer = [*TALK, {"role": "assistant", "content": asked["content"]}, {"role": "user", "content": "4"}]
        assert (await ask(client, answer))["content"] == "24."
        assert desk.engine.requests[-1].logprobs  # scored for the gate, though this request does not name it
        assert (await ask(client, answer, gate="off"))["content"] == "24."
        assert not desk.engine.requests[-1].logprobs


@pytest.mark.parametrize("gate", [-0.1, 100.1, "on", "", True, [1.0], {}])
async def test_a_gate_of_nonsense_is_refused(make_desk: Callable[..., Any], gate: Any) -> None:
    async with in_process(make_desk(never_asking)) as client:
        reply = await client.post(URL, json={"model": "scripted", "messages": TALK, "pir": {"gate": gate}})
        assert reply.status_code == 400 and reply.json()["error"]["param"].startswith("pir.gate")
