"""Legs that end early: aborted by us, broken off, refused by the engine, or by us before it sees them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from pir_serve.engines.base import LegRequest
from pir_serve.engines.completions import CompletionsEngine
from pir_serve.errors import (
    ContextLengthExceeded,
    EngineError,
    EngineProtocolError,
    EngineRejected,
    EngineUnavailable,
)
from tests.engines.fake_server import FakeServer, Script
from tests.serve.engines.conftest import ENGINES, PROMPT, chunks_of, joined, settle


async def test_closing_the_iterator_aborts_upstream_at_once(server: FakeServer, engine: CompletionsEngine) -> None:
    server.script = Script([(k, "x") for k in range(50)], delay_s=0.02)
    leg = engine.generate(LegRequest(PROMPT, 50))
    await anext(leg)
    assert server.num_running == 1
    await leg.aclose()
    await settle(lambda: server.num_running == 0)
    assert server.num_aborted == 1
    server.script = Script()
    assert joined(await chunks_of(engine, LegRequest(PROMPT, 3)))[0] == [7, 8, 9]


async def test_a_cancelled_consumer_aborts_upstream(server: FakeServer, engine: CompletionsEngine) -> None:
    server.script = Script([(k, "x") for k in range(50)], delay_s=0.02)
    task = asyncio.create_task(chunks_of(engine, LegRequest(PROMPT, 50)))
    await settle(lambda: server.num_running == 1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await settle(lambda: server.num_aborted == 1)


@pytest.mark.parametrize(
    ("change", "expected", "words"),
    [
        ({"die_at": 2}, EngineUnavailable, "broke off"),
        ({"error_at": 2}, EngineUnavailable, "EngineCore died"),
        ({"error_at": 2, "error": {"message": "no such thing", "code": 400}}, EngineRejected, "no such thing"),
        ({"error_at": 2, "error": "plain words"}, EngineUnavailable, "plain words"),
        ({"finish": None}, EngineProtocolError, "without a finish reason"),
        ({"finish": None, "without_done": True}, EngineUnavailable, "broke off"),
        ({"finish": "daydream"}, EngineProtocolError, "cannot read"),
    ],
)
async def test_a_stream_that_fails_midway_says_how_and_keeps_the_ids_so_far(
    server: FakeServer, engine: CompletionsEngine, change: dict[str, Any], expected: type[EngineError], words: str
) -> None:
    for delay_s in (0.02, 0.0):  # token by token, and all in one read
        server.script = Script(delay_s=delay_s, **change)
        received: list[int] = []
        with pytest.raises(expected, match=words):
            async for chunk in engine.generate(LegRequest(PROMPT, 3)):
                received += chunk.token_ids
                assert chunk.finish_reason is None
        if delay_s or "die_at" not in change:  # a reset may overtake what was written just before it
            assert received == ([7, 8, 9] if "finish" in change else [7, 8])


@pytest.mark.parametrize("junk", [b"data: {not json\n\n", b"data: [1]\n\n", b'data: {"choices":[{"index":0}]}\n\n'])
async def test_a_stream_that_makes_no_sense_is_a_protocol_error(
    server: FakeServer, engine: CompletionsEngine, junk: bytes
) -> None:
    server.script = Script(junk=junk)
    with pytest.raises(EngineProtocolError):
        await chunks_of(engine, LegRequest(PROMPT, 3))


@pytest.mark.parametrize(
    ("reply", "expected", "words"),
    [
        ((400, {"error": {"message": "temperature must be", "code": 400}}), EngineRejected, "temperature must be"),
        ((400, {"object": "error", "message": "flat words", "code": 400}), EngineRejected, "flat words"),
        ((401, {"error": "Unauthorized"}), EngineRejected, "Unauthorized"),
        ((404, {"detail": "Not Found"}), EngineRejected, "Not Found"),
        ((422, "<html>no json</html>"), EngineRejected, "no json"),
        ((429, {"error": {"message": "slow down"}}), EngineUnavailable, "slow down"),
        ((500, {"error": {"message": "EngineCore is dead"}}), EngineUnavailable, "dead"),
        ((503, {"error": {"message": "queue is full"}}), EngineUnavailable, "queue is full"),
    ],
)
async def test_refusals_carry_the_engines_words(
    server: FakeServer, engine: CompletionsEngine, reply: tuple[int, Any], expected: type[EngineError], words: str
) -> None:
    server.script = Script(refuse=reply)
    with pytest.raises(expected, match=words) as raised:
        await chunks_of(engine, LegRequest(PROMPT, 3))
    assert engine.name in raised.value.message


@pytest.mark.parametrize("prompt", [[], [5, 1024], [-1], [2**40]])
async def test_ids_outside_the_vocabulary_never_reach_the_server(
    server: FakeServer, engine: CompletionsEngine, prompt: list[int]
) -> None:
    with pytest.raises(EngineRejected):
        await chunks_of(engine, LegRequest(prompt, 3))
    assert server.bodies == [] and not server.is_dead


async def test_budget_is_clamped_to_the_context_and_a_full_one_is_refused(
    server: FakeServer, engine: CompletionsEngine
) -> None:
    length = engine.max_model_len
    assert length == (64 if server.kind == "vllm" else 58)
    await chunks_of(engine, LegRequest([1] * (length - 2), 500))
    assert server.bodies[0]["max_tokens"] == 2
    with pytest.raises(ContextLengthExceeded, match=f"{length} prompt tokens"):
        await chunks_of(engine, LegRequest([1] * length, 1))
    assert len(server.bodies) == 1


async def test_more_stop_strings_than_engines_take_are_refused_here(engine: CompletionsEngine) -> None:
    with pytest.raises(EngineRejected, match="5 stop strings"):
        await chunks_of(engine, LegRequest(PROMPT, 3, stop=tuple("abcde")))


async def test_a_stale_connection_is_tried_once_more(server: FakeServer, engine: CompletionsEngine) -> None:
    server.script = Script(drop_connections=1)
    assert joined(await chunks_of(engine, LegRequest(PROMPT, 3)))[0] == [7, 8, 9]
    server.script = Script(drop_connections=2)
    with pytest.raises(EngineUnavailable):
        await chunks_of(engine, LegRequest(PROMPT, 3))


async def test_a_silent_stream_counts_as_dead(server: FakeServer) -> None:
    engine = ENGINES[server.kind](server.url, "tiny", vocab_size=1024, silence_s=0.1)
    server.script = Script(delay_s=5)
    with pytest.raises(EngineUnavailable):
        await chunks_of(engine, LegRequest(PROMPT, 3))
    await settle(lambda: server.num_running == 0)
    await engine.aclose()
