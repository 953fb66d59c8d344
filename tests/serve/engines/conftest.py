"""The vLLM and SGLang adapters, each before a scripted server of its kind on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from pir_serve.engines.base import LegRequest, TokenChunk
from pir_serve.engines.completions import CompletionsEngine
from pir_serve.engines.sglang import SglangEngine
from pir_serve.engines.vllm import VllmEngine
from tests.engines.fake_server import FakeServer

ENGINES: dict[str, type[CompletionsEngine]] = {"vllm": VllmEngine, "sglang": SglangEngine}
PROMPT = [1, 2, 3]


@pytest.fixture(params=["vllm", "sglang"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[FakeServer]:
    async with FakeServer(request.param).serving() as server:
        yield server


@pytest.fixture
async def engine(server: FakeServer) -> AsyncIterator[CompletionsEngine]:
    engine = ENGINES[server.kind](server.url, "tiny", "secret", vocab_size=1024)
    await engine.start()
    server.bodies.clear()
    server.headers.clear()
    try:
        yield engine
    finally:
        await engine.aclose()


async def chunks_of(engine: CompletionsEngine, request: LegRequest) -> list[TokenChunk]:
    return [chunk async for chunk in engine.generate(request)]


def joined(chunks: list[TokenChunk]) -> tuple[list[int], str, list[float]]:
    return (
        [i for c in chunks for i in c.token_ids],
        "".join(c.text for c in chunks),
        [p for c in chunks for p in c.logprobs],
    )


async def settle(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110  (the condition lives in another task's plain attributes)
            await asyncio.sleep(0.005)
