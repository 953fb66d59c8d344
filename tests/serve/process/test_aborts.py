"""A client that goes takes its generation with it, within a second, whatever phase it is in; what is stored stays as it
was, and the same answer can be given again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import websockets

from tests.engines.fake_server import Kind, Script
from tests.serve.brains import PROBLEM, QUESTION
from tests.serve.served import Served, served, settle
from tests.serve.thinking_server import ThinkingServer, thinking

MESSAGES = [
    {"role": "user", "content": PROBLEM},
    {"role": "assistant", "content": QUESTION},
    {"role": "user", "content": "4 dollars"},
]
APIS: dict[str, dict[str, Any]] = {"chat/completions": {"messages": MESSAGES}, "responses": {"input": MESSAGES}}
PHASES = {
    "queued": Script(queue_s=30),
    "prefill": Script(prefill_s=30),
    "streaming": Script(delay_s=0.1),
}


@pytest.fixture(params=["vllm", "sglang"])
async def server(request: pytest.FixtureRequest, tokenizer_dir: Path) -> AsyncIterator[ThinkingServer]:
    kind: Kind = request.param
    async with thinking(tokenizer_dir, kind=kind) as (server,):
        yield server


@pytest.fixture
async def gateway(server: ThinkingServer, tokenizer_dir: Path, tmp_path: Path) -> AsyncIterator[Served]:
    async with served([server], tokenizer_dir, tmp_path) as gateway:
        server.bodies.clear()
        yield gateway


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_takes_its_generation_with_it(
    gateway: Served, server: ThinkingServer, api: str, phase: str, stream: bool
) -> None:
    assert (await gateway.chat()).json()["choices"][0]["message"]["content"] == QUESTION
    kept = await _kept(gateway)
    server.script = PHASES[phase]
    await _leave_midway(gateway, server, api, stream)
    await settle(lambda: server.num_running == 0, within_s=1.0)
    assert server.num_aborted == 1 and gateway.gateway.presence.num_live == 0
    assert await _kept(gateway) == kept
    server.script = Script()
    body = {"model": "thinker", "stream": False, **APIS[api]}
    reply = await gateway.client.post(f"/v1/{api}", json=body)
    assert "Six pens at 4 dollars each." in reply.text and reply.headers["x-pir-resume"] == "hash"
    aborted, again = server.bodies[-2:]
    assert aborted["prompt"] == again["prompt"], "the same reasoning is resumed, exactly"


async def test_a_client_that_goes_before_its_request_is_whole_is_no_mistake_of_ours(
    gateway: Served, caplog: pytest.LogCaptureFixture
) -> None:
    url = gateway.client.base_url
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    await settle(lambda: gateway.gateway.presence.num_live == 1, within_s=1.0)
    writer.transport.abort()
    await settle(lambda: gateway.gateway.presence.num_live == 0, within_s=1.0)
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]
    assert (await gateway.chat()).status_code == 200


async def _leave_midway(gateway: Served, server: ThinkingServer, api: str, stream: bool) -> None:
    body = {"model": "thinker", "stream": stream, **APIS[api]}

    async def ask() -> None:
        async with gateway.client.stream("POST", f"/v1/{api}", json=body) as reply:
            async for _ in reply.aiter_bytes():
                pass

    asking = asyncio.create_task(ask())
    await settle(lambda: server.num_running == 1)
    await asyncio.sleep(0.25)  # into the phase
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
        await asking


async def _kept(gateway: Served) -> list[Any]:
    page = (await gateway.client.get("/v1/pir/sessions")).json()
    return [{**session} for session in page["data"]]


@pytest.mark.parametrize("phase", PHASES)
async def test_a_websocket_that_closes_takes_its_generation_with_it(
    gateway: Served, server: ThinkingServer, phase: str
) -> None:
    server.script = PHASES[phase]
    url = str(gateway.client.base_url).replace("http", "ws")
    async with websockets.connect(f"{url}/v1/responses") as connection:
        await connection.send(orjson.dumps({"type": "response.create", "model": "thinker", "input": PROBLEM}).decode())
        await settle(lambda: server.num_running == 1)
        await asyncio.sleep(0.25)
    await settle(lambda: server.num_running == 0, within_s=1.0)
    assert server.num_aborted == 1 and await _kept(gateway) == []


async def test_a_cancelled_background_response_ends_upstream_even_where_nothing_comes(
    gateway: Served, server: ThinkingServer
) -> None:
    server.script = PHASES["queued"]
    body = {"model": "thinker", "input": PROBLEM, "background": True}
    made = (await gateway.client.post("/v1/responses", json=body)).json()
    await settle(lambda: server.num_running == 1)
    await gateway.client.post(f"/v1/responses/{made['id']}/cancel")
    await settle(lambda: server.num_running == 0, within_s=1.0)


async def test_a_client_that_goes_while_its_leg_changes_servers_is_not_served_on(
    tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with thinking(tokenizer_dir, 2) as two, served(two, tokenizer_dir, tmp_path) as gateway:
        two[0].next = two[1].next = [Script(die_at=2, delay_s=0.01), Script(queue_s=30)]
        asking = asyncio.create_task(gateway.chat(stream=True))
        await settle(lambda: not two[0].next)
        await settle(lambda: two[0].num_running + two[1].num_running == 1)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        await settle(lambda: two[0].num_running + two[1].num_running == 0, within_s=1.0)
        assert await _kept(gateway) == []


async def test_after_an_ask_the_engine_writes_nothing_more(gateway: Served, server: ThinkingServer) -> None:
    """Even where it has missed its stop string, as SGLang does with unusual spellings."""
    server.brain = lambda prompt: f"\nI need it.\n<asking>{QUESTION}</asking>" + " and so on" * 300
    server.script = Script(delay_s=0.01)
    plan = server.plan
    server.plan = lambda script, body: plan(script, {**body, "stop": []})  # type: ignore[method-assign]
    reply = await gateway.chat()
    assert reply.json()["choices"][0]["message"]["content"] == QUESTION
    await settle(lambda: server.num_running == 0, within_s=1.0)
    assert server.num_aborted == 1
