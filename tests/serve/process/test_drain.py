"""A gateway that is told to stop: it says so, takes nothing new, and lets what runs come to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import orjson
import pytest
import websockets

from tests.engines.fake_server import Script
from tests.serve.brains import PROBLEM, QUESTION
from tests.serve.served import Served, served, settle
from tests.serve.thinking_server import ThinkingServer, thinking

SLOW = Script(delay_s=0.02)
"""A leg takes about a second."""


@pytest.fixture
async def engine(tokenizer_dir: Path) -> AsyncIterator[ThinkingServer]:
    async with thinking(tokenizer_dir) as (server,):
        yield server


@pytest.fixture
async def gateway(engine: ThinkingServer, tokenizer_dir: Path, tmp_path: Path) -> AsyncIterator[Served]:
    async with served([engine], tokenizer_dir, tmp_path, shutdown_s=10.0) as gateway:
        yield gateway


@pytest.mark.parametrize("stream", [False, True])
async def test_live_replies_end_well_and_nothing_new_begins(
    gateway: Served, engine: ThinkingServer, stream: bool
) -> None:
    assert (await gateway.client.get("/ready")).json()["status"] == "ready"
    engine.script = SLOW
    asking = asyncio.create_task(gateway.chat(stream=stream))
    await settle(lambda: engine.num_running == 1)
    gateway.server.stop()
    ready = await gateway.client.get("/ready")
    assert ready.status_code == 503 and ready.json()["status"] == "draining"
    assert (await gateway.client.get("/health")).status_code == 200
    refused = await gateway.chat()
    assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "engine_unavailable" and "stopping" in refused.json()["error"]["message"]
    assert refused.headers["connection"] == "close"
    reply = await asking
    assert QUESTION in reply.text and "error" not in reply.text
    await asyncio.wait_for(gateway.task, 5)
    assert len(engine.bodies) == 2, "the probe at the start and the one leg"


async def test_what_is_made_in_the_background_and_over_websockets_ends_well_too(
    gateway: Served, engine: ThinkingServer
) -> None:
    engine.script = SLOW
    url = str(gateway.client.base_url).replace("http", "ws")
    body = {"model": "thinker", "input": PROBLEM}
    async with websockets.connect(f"{url}/v1/responses") as connection:
        await connection.send(orjson.dumps({"type": "response.create", **body}).decode())
        made = await gateway.client.post("/v1/responses", json={**body, "background": True})
        await settle(lambda: engine.num_running == 2)
        gateway.server.stop()
        await connection.send(orjson.dumps({"type": "response.create", **body}).decode())
        events = []
        with pytest.raises(websockets.ConnectionClosedError, match="1012"):  # service restart
            while True:
                events.append(orjson.loads(await connection.recv()))
    told = [event["type"] for event in events if event["type"] in ("error", "response.completed")]
    assert told == ["response.completed", "error"], "the second one waited in its lane, and began too late"
    await asyncio.wait_for(gateway.task, 5)
    async with gateway.gateway.running():
        tenant = "local"
        record = await gateway.gateway.store.responses.get(tenant, made.json()["id"])
        assert record is not None and record.status.value == "completed"


async def test_a_reply_that_takes_too_long_is_told_and_cut(
    engine: ThinkingServer, tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with served([engine], tokenizer_dir, tmp_path, shutdown_s=0.2) as gateway:
        engine.script = Script(delay_s=5)
        asking = asyncio.create_task(gateway.chat(stream=True))
        await settle(lambda: engine.num_running == 1)
        gateway.server.stop()
        reply = await asyncio.wait_for(asking, 5)
        assert "the gateway is stopping" in reply.text
        await settle(lambda: engine.num_running == 0)


async def test_an_idle_gateway_ends_at_once(gateway: Served) -> None:
    await gateway.chat()
    began = time.monotonic()
    gateway.server.stop()
    await asyncio.wait_for(gateway.task, 5)
    assert time.monotonic() - began < 1.5
    with pytest.raises(httpx.TransportError):
        await gateway.client.get("/ready")
