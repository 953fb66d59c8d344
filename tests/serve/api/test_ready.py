"""GET /ready and the pool's metrics: which of a model's servers can be used, as a balancer and an operator see it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pir_serve.config import Config
from pir_serve.engines import pool
from pir_serve.settings import Settings
from tests.engines.fake_server import Script
from tests.serve.served import SECRET, Served, served, served_as, settle
from tests.serve.thinking_server import ThinkingServer, thinking


@pytest.fixture
async def two(tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[ThinkingServer]]:
    monkeypatch.setattr(pool, "PROBE_S", 0.05)
    async with thinking(tokenizer_dir, 2) as servers:
        yield servers


async def ready(gateway: Served) -> tuple[int, dict[str, Any]]:
    reply = await gateway.client.get("/ready")
    return reply.status_code, reply.json()


async def states(gateway: Served) -> list[str]:
    return [server["state"] for server in (await ready(gateway))[1]["servers"]["thinker"]]


async def become(gateway: Served, wanted: list[str]) -> None:
    async with asyncio.timeout(5):
        while sorted(await states(gateway)) != sorted(wanted):  # noqa: ASYNC110  (it is asked as a balancer asks)
            await asyncio.sleep(0.01)


async def exported(gateway: Served) -> dict[str, str]:
    """The state of each server, by its name, in the metrics."""
    page = (await gateway.client.get("/metrics")).text
    found = re.findall(r'^pir_engine_state\{engine="(.*)",model="thinker",state="(.*)"\} 1\.0$', page, re.MULTILINE)
    assert len(found) == len(dict(found)), "each is in one state"
    return dict(found)


async def test_a_model_is_ready_while_one_of_its_servers_is(
    two: list[ThinkingServer], tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with served(two, tokenizer_dir, tmp_path) as gateway:
        names = [f"vllm {server.url}" for server in two]
        status, body = await ready(gateway)
        assert status == 200 and body["status"] == "ready" and body["engines"] == {"thinker": True}
        assert body["servers"] == {"thinker": [{"name": name, "state": "up", "legs": 0} for name in names]}
        await two[0].kill()
        await become(gateway, ["down", "up"])
        assert (await ready(gateway))[0] == 200 and (await gateway.chat()).status_code == 200
        assert await exported(gateway) == {names[0]: "down", names[1]: "up"}
        await two[1].kill()
        await become(gateway, ["down", "down"])
        status, body = await ready(gateway)
        assert status == 503 and body["status"] == "not_ready" and body["engines"] == {"thinker": False}
        await two[0].revive()
        await become(gateway, ["up", "down"])
        assert (await ready(gateway))[0] == 200


async def test_one_model_without_a_server_is_not_ready_beside_one_that_has(
    two: list[ThinkingServer], tokenizer_dir: Path, tmp_path: Path
) -> None:
    common = {
        "port": 0, "engine": "vllm", "model": "tiny", "tokenizer": tokenizer_dir, "mode": "trained",
        "store": tmp_path / "pir.db", "secret": SECRET, "shutdown_s": 1.0,
    }  # fmt: skip
    models = [Settings(**common, model_name=f"m{k}", engine_url=(server.url,)) for k, server in enumerate(two)]
    async with served_as(Config(models[0], tuple(models))) as gateway:
        assert (await ready(gateway))[0] == 200
        await two[1].kill()
        status, body = await ready(gateway)
        assert status == 503 and body["engines"] == {"m0": True, "m1": False}
        assert [(name, each[0]["state"]) for name, each in body["servers"].items()] == [("m0", "up"), ("m1", "down")]


async def test_a_server_that_only_finishes_what_it_has_is_draining(
    two: list[ThinkingServer], tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with served(two, tokenizer_dir, tmp_path) as gateway:
        for server in two:
            server.script = Script(delay_s=0.03)
        asking = asyncio.create_task(gateway.chat())
        await settle(lambda: any(server.num_running for server in two))
        for server in two:
            server.is_dead = True  # its probe says 503, as that of a server does which is told to stop
        await become(gateway, ["down", "draining"])
        legs = [server["legs"] for server in (await ready(gateway))[1]["servers"]["thinker"]]
        assert sorted(legs) == [0, 1] and sorted((await exported(gateway)).values()) == ["down", "draining"]
        assert (await asking).status_code == 200
        await become(gateway, ["down", "down"])


async def test_a_drain_of_the_gateway_itself_is_told_too(
    two: list[ThinkingServer], tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with served(two, tokenizer_dir, tmp_path, shutdown_s=5.0) as gateway:
        for server in two:
            server.script = Script(delay_s=0.02)
        asking = asyncio.create_task(gateway.chat())
        await settle(lambda: any(server.num_running for server in two))
        gateway.server.stop()
        await asyncio.sleep(0)
        status, body = await ready(gateway)
        assert status == 503 and body["status"] == "draining" and body["engines"] == {"thinker": True}
        assert (await asking).status_code == 200


async def test_credentials_in_an_address_are_told_nobody(
    two: list[ThinkingServer], tokenizer_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = tuple(server.url.replace("://", "://admin:hunter2@") for server in two)
    async with served(two, tokenizer_dir, tmp_path, engine_url=addresses) as gateway:
        await two[0].kill()
        await become(gateway, ["down", "up"])
        told = (await gateway.client.get("/ready")).text + (await gateway.client.get("/metrics")).text + caplog.text
        assert two[0].url in told and "hunter2" not in told and "admin" not in told
