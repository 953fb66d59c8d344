"""Two engine servers behind a whole gateway, real sockets throughout: one dies at every phase of a leg, and the user gets
the same answer, a little later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path

import pytest

from pir_serve.engines import completions, pool
from tests.engines.fake_server import PROBE, Kind, Script
from tests.serve.brains import PROBLEM, QUESTION
from tests.serve.served import Served, served, settle
from tests.serve.thinking_server import ThinkingServer, thinking

ASKED = [{"role": "user", "content": PROBLEM}, {"role": "assistant", "content": QUESTION}]
ANSWERED = [*ASKED, {"role": "user", "content": "4 dollars"}]
ANSWER = "Six pens at 4 dollars each."
THOUGHT = "The number of pens is 6.\nI need the price.\n"


@pytest.fixture(params=["vllm", "sglang"])
async def two(request: pytest.FixtureRequest, tokenizer_dir: Path) -> AsyncIterator[list[ThinkingServer]]:
    kind: Kind = request.param
    async with thinking(tokenizer_dir, 2, kind=kind) as servers:
        yield servers


@pytest.fixture
async def gateway(two: list[ThinkingServer], tokenizer_dir: Path, tmp_path: Path) -> AsyncIterator[Served]:
    async with served(two, tokenizer_dir, tmp_path) as gateway:
        for server in two:
            server.bodies.clear()
            server.headers.clear()
        yield gateway


def said(text: str) -> str:
    """The content of a streamed reply, which must have ended well."""
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert not any("error" in chunk for chunk in chunks)
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == THOUGHT, "nothing is lost or said twice"
    return "".join(delta.get("content") or "" for delta in deltas)


async def question_of(gateway: Served, stream: bool) -> str:
    reply = await gateway.chat(stream=stream)
    assert reply.status_code == 200, reply.text
    if stream:
        return said(reply.text)
    message = reply.json()["choices"][0]["message"]
    assert message["reasoning_content"] == THOUGHT
    return str(message["content"])


PHASES: dict[str, list[Script]] = {
    "before the reply": [Script(drop_connections=1), Script(drop_connections=1)],
    "instead of a reply": [Script(refuse=(500, {"error": {"message": "EngineCore is dead"}}))],
    "with a full queue": [Script(refuse=(503, {"error": {"message": "the queue is full"}}))],
    "before the first token": [Script(die_at=0, delay_s=0.01)],
    "after the first token": [Script(die_at=1, delay_s=0.01)],
    "in the middle": [Script(die_at=9, delay_s=0.01)],
    "in the middle, saying so": [Script(error_at=9, delay_s=0.01)],
    "on the way from server to server": [Script(die_at=k, delay_s=0.01) for k in (4, 3, 0, 2)],
    "with nonsense": [Script(error_at=5, error=17)],
    "without an end": [Script(without_done=True)],
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_dies_costs_a_pause_and_not_the_answer(
    gateway: Served, two: list[ThinkingServer], phase: str, stream: bool
) -> None:
    two[0].next = two[1].next = deepcopy(PHASES[phase])  # whichever the session belongs to
    assert await question_of(gateway, stream) == QUESTION
    assert two[0].next == []
    prompts = sorted((body["prompt"] for server in two for body in server.bodies), key=len)
    assert all(prompts[-1][: len(prompt)] == prompt for prompt in prompts), "ids only grow"
    reply = await gateway.chat(*ANSWERED)
    assert reply.headers["x-pir-resume"] == "hash"
    assert reply.json()["choices"][0]["message"]["content"] == ANSWER


@pytest.mark.parametrize("stream", [False, True])
async def test_a_host_that_is_killed_midway_is_left_for_good_and_taken_again_when_it_is_back(
    gateway: Served, two: list[ThinkingServer], stream: bool
) -> None:
    two[0].script = two[1].script = Script(delay_s=0.03)
    asking = asyncio.create_task(question_of(gateway, stream))
    await settle(lambda: two[0].num_running + two[1].num_running == 1)
    dying, other = sorted(two, key=lambda server: server.num_running, reverse=True)
    await asyncio.sleep(0.1)
    await dying.kill()
    assert await asking == QUESTION
    assert len(other.bodies[0]["prompt"]) > len(dying.bodies[0]["prompt"]), "on from the ids received"
    for server in two:
        server.script = Script()
        server.bodies.clear()
    for _ in range(4):
        assert await question_of(gateway, stream) == QUESTION
    assert dying.bodies == [] and len(other.bodies) == 4
    await dying.revive()
    await settle(lambda: all(member.state == "up" for member in gateway.pool.members), 5)
    await other.kill()
    assert await question_of(gateway, stream) == QUESTION


async def test_a_host_that_falls_silent_midway_is_left(
    two: list[ThinkingServer], tokenizer_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "_HEALTH_S", 0.1)
    monkeypatch.setattr(pool, "PROBE_S", 0.1)
    async with served(two, tokenizer_dir, tmp_path) as gateway:
        two[0].next = two[1].next = [Script(prefill_s=60)]
        asking = asyncio.create_task(question_of(gateway, True))
        await settle(lambda: two[0].num_running + two[1].num_running == 1)
        silent = max(two, key=lambda server: server.num_running)
        silent.is_deaf = True
        assert await asyncio.wait_for(asking, 5) == QUESTION
        await settle(lambda: silent.num_aborted == 1)


@pytest.mark.parametrize("refusal", [(401, {"error": "Unauthorized"}), (404, {"error": {"message": "no model tiny"}})])
async def test_a_server_that_does_not_know_our_key_or_the_model_is_left_and_the_user_notices_nothing(
    gateway: Served, two: list[ThinkingServer], refusal: tuple[int, dict[str, object]]
) -> None:
    stranger, other = two
    stranger.script = Script(refuse=refusal)
    for _ in range(16):  # sessions of both
        assert await question_of(gateway, stream=True) == QUESTION
    asked = [body for body in stranger.bodies if body["prompt"] != PROBE]
    assert len(asked) == 1, "once is enough to know"
    assert len(other.bodies) == 16
    other.script = Script(refuse=refusal)
    reply = await gateway.chat()
    assert reply.status_code == 503 and reply.json()["error"]["code"] == "engine_unavailable"
