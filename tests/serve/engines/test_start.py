"""Starting an adapter: what it learns from its server, and what it says of one that will not do."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pir_serve.engines.base import LegRequest
from pir_serve.engines.completions import CompletionsEngine
from pir_serve.engines.sglang import SglangEngine
from pir_serve.engines.verify import verify
from pir_serve.errors import (
    ConfigError,
    EngineUnavailable,
)
from pir_serve.trajectory import Author, Segment
from tests.engines.fake_server import FakeServer, Script
from tests.serve.engines.conftest import ENGINES, PROMPT, chunks_of


async def test_start_learns_the_only_model_and_its_limits(server: FakeServer) -> None:
    engine = ENGINES[server.kind](server.url + "/v1/", vocab_size=1024)
    await engine.start()
    assert engine.model == "tiny" and engine.name == f"{server.kind} {server.url}"
    assert await engine.healthy()
    server.is_dead = True
    assert not await engine.healthy()
    await engine.aclose()


async def test_health_of_sglang_never_costs_a_generation(server: FakeServer, engine: CompletionsEngine) -> None:
    await engine.healthy()
    assert server.bodies == []
    assert engine.health_path == ("/health" if server.kind == "vllm" else "/ready")


@pytest.mark.parametrize("server", ["sglang"], indirect=True)  # vLLM checks ids itself
async def test_sglang_without_a_known_vocabulary_warns(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    engine = SglangEngine(server.url)
    with caplog.at_level(logging.WARNING):
        await engine.start()
    assert "vocabulary size is unknown" in caplog.text
    await engine.aclose()


@pytest.mark.parametrize(
    ("model", "script", "words"),
    [
        ("other", Script(), "serves no model 'other'; it serves: tiny"),
        ("tiny", Script(without_ids=True), "no token ids"),
        ("tiny", Script(refuse=(400, {"error": {"message": "nope"}})), "nope"),
    ],
)
async def test_start_says_what_an_engine_lacks(server: FakeServer, model: str, script: Script, words: str) -> None:
    server.script = script
    engine = ENGINES[server.kind](server.url, model, vocab_size=1024)
    with pytest.raises(ConfigError, match=words):
        await engine.start()
    await engine.aclose()


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
async def test_an_unreachable_engine_is_unavailable(kind: str) -> None:
    engine = ENGINES[kind]("http://127.0.0.1:9", "tiny")
    calls: list[Callable[[], Awaitable[Any]]] = [engine.start, lambda: chunks_of(engine, LegRequest(PROMPT, 3))]
    for call in calls:
        with pytest.raises(EngineUnavailable, match="not reachable"):
            await call()
    assert not await engine.healthy()
    await engine.aclose()


class ByteCodec:
    """Encodes as the fake server does, or one off."""

    def __init__(self, shift: int = 0) -> None:
        self.shift = shift

    def encode_response(self, text: str) -> Segment:
        return Segment(Author.USER, text, tuple(b + self.shift for b in text.encode()))


async def test_verify_tells_where_tokenizers_part(engine: CompletionsEngine) -> None:
    assert await verify(engine, ByteCodec()) == []
    differences = await verify(engine, ByteCodec(1), ["abc", ""])
    assert [d.text for d in differences] == ["abc"]
    assert "from token 0 on" in str(differences[0])
