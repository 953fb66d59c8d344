"""A whole gateway from settings, in the test's own loop and on a real port, as `pir serve` runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pir_serve.api.build import build_gateway
from pir_serve.api.gateway import Gateway
from pir_serve.api.server import GatewayServer, listen
from pir_serve.config import Config
from pir_serve.engines.pool import EnginePool
from pir_serve.settings import Settings
from tests.engines.fake_server import FakeServer
from tests.serve.brains import PROBLEM

SECRET = "a secret of sixteen and more"


@dataclass
class Served:
    gateway: Gateway
    client: httpx.AsyncClient
    server: GatewayServer
    task: asyncio.Task[None]

    @property
    def pool(self) -> EnginePool:
        engine = next(iter(self.gateway.models.values())).engine
        assert isinstance(engine, EnginePool)
        return engine

    async def chat(self, *messages: dict[str, str], stream: bool = False, **more: Any) -> httpx.Response:
        said = list(messages) or [{"role": "user", "content": PROBLEM}]
        body = {"model": "thinker", "messages": said, "stream": stream, **more}
        return await self.client.post("/v1/chat/completions", json=body)


@asynccontextmanager
async def served(
    servers: Sequence[FakeServer], tokenizer: Path, folder: Path, **settings: Any
) -> AsyncIterator[Served]:
    """One model, `thinker`, on these servers."""
    chosen = Settings(
        **{
            "port": 0, "engine": servers[0].kind, "engine_url": tuple(server.url for server in servers),
            "model": "tiny", "model_name": "thinker", "tokenizer": tokenizer, "mode": "trained",
            "store": folder / "pir.db", "secret": SECRET, "shutdown_s": 1.0, **settings,
        }
    )  # fmt: skip
    async with served_as(Config(chosen, (chosen,))) as gateway:
        yield gateway


@asynccontextmanager
async def served_as(config: Config) -> AsyncIterator[Served]:
    gateway = build_gateway(config.settings, config.models)
    listener = listen(config.settings)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    server = GatewayServer(gateway, listener)
    task = asyncio.create_task(server.run(port.set_result))
    await asyncio.wait([task, port], return_when=asyncio.FIRST_COMPLETED)
    if not port.done():
        listener.close()
        task.result()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port.result()}", timeout=30) as client:
            yield Served(gateway, client, server, task)
    finally:
        for _ in range(2):  # the second one does not wait for what runs
            server.stop()
            await asyncio.sleep(0)
        await asyncio.wait_for(task, 20)
        listener.close()


async def settle(condition: Callable[[], bool], within_s: float = 2.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  (the condition lives in another task's plain attributes)
            await asyncio.sleep(0.005)
