"""A leg through the adapters: what is sent, and what comes back however the stream is cut."""

from __future__ import annotations

import asyncio

import pytest

from pir_serve.engines.base import LegRequest, SamplingParams, Usage
from pir_serve.engines.completions import CompletionsEngine
from tests.engines.fake_server import FakeServer, Script
from tests.serve.engines.conftest import ENGINES, PROMPT, chunks_of, joined


async def test_a_leg_brings_ids_text_logprobs_usage_and_one_finish(
    server: FakeServer, engine: CompletionsEngine
) -> None:
    chunks = await chunks_of(engine, LegRequest(PROMPT, 3))
    ids, text, logprobs = joined(chunks)
    assert (ids, text) == ([7, 8, 9], "Hello world")
    assert logprobs == pytest.approx([-0.07, -0.08, -0.09])
    assert [c.finish_reason for c in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert chunks[-1].usage == Usage(3, 3, 3)
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 50, 10_000])
async def test_cuts_and_comments_change_nothing(server: FakeServer, engine: CompletionsEngine, piece: int) -> None:
    tokens = [(7, "na"), (8, "ï"), (9, "ve 🙂")]
    server.script = Script(tokens, piece=piece, junk=b": keep-alive\r\n\r\n")
    ids, text, _ = joined(await chunks_of(engine, LegRequest(PROMPT, 3)))
    assert (ids, text) == ([7, 8, 9], "naïve 🙂")


async def test_events_that_arrive_together_become_one_chunk(server: FakeServer, engine: CompletionsEngine) -> None:
    server.script = Script([(k, "x") for k in range(30)])
    legs = engine.generate(LegRequest(PROMPT, 30))
    first = await anext(legs)
    await asyncio.sleep(0.1)  # the consumer is slow; the rest has arrived meanwhile
    rest = [chunk async for chunk in legs]
    assert len(first.token_ids) + sum(len(c.token_ids) for c in rest) == 30
    assert len(rest) <= 2


async def test_request_fields_carry_the_leg(server: FakeServer, engine: CompletionsEngine) -> None:
    params = SamplingParams(0.6, 0.95, 20, 11, 0.5, 0.25)
    stop, stop_ids = ("</asking>", ""), (5,)
    request = LegRequest(PROMPT, 9, params, stop, stop_ids, session="s-1", request_id="leg-7", tenant="acme")
    await chunks_of(engine, request)
    await chunks_of(engine, request)
    await chunks_of(engine, LegRequest(PROMPT, 9, tenant="other", logprobs=False))
    first, second, other = server.bodies
    assert first["prompt"] == PROMPT and first["max_tokens"] == 9 and first["model"] == "tiny"
    assert (first["temperature"], first["top_p"], first["top_k"], first["seed"]) == (0.6, 0.95, 20, 11)
    assert (first["frequency_penalty"], first["presence_penalty"]) == (0.5, 0.25)
    assert first["stop"] == ["</asking>"] and first["stop_token_ids"] == [5] and first["logprobs"] == 0
    assert first["cache_salt"] == second["cache_salt"] != other["cache_salt"]
    assert "acme" not in str(server.bodies)
    assert "logprobs" not in other and "stop" not in other and "seed" not in other
    sent = server.headers[0]
    assert sent["X-Session-ID"] == "s-1" and sent["Authorization"] == "Bearer secret"
    assert sent["X-Request-Id"].startswith("leg-7-") and sent["X-Request-Id"] != server.headers[1]["X-Request-Id"]
    if server.kind == "sglang":
        assert first["rid"] != second["rid"]


async def test_no_tenant_means_no_partition_and_ids_from_clients_cannot_break_headers(
    server: FakeServer, engine: CompletionsEngine
) -> None:
    await chunks_of(engine, LegRequest(PROMPT, 3, session="a\r\nX-Evil: 1", request_id="é" * 500))
    assert "cache_salt" not in server.bodies[0] and "X-Evil" not in server.headers[0]
    assert server.headers[0]["X-Session-ID"].isalnum()


async def test_two_replicas_with_one_key_share_partitions(server: FakeServer) -> None:
    for _ in range(2):
        engine = ENGINES[server.kind](server.url, cache_key=b"k" * 32, vocab_size=1024)
        await chunks_of(engine, LegRequest(PROMPT, 3, tenant="acme"))
        await engine.aclose()
    assert server.bodies[0]["cache_salt"] == server.bodies[1]["cache_salt"]


async def test_eos_is_among_the_ids_and_spells_nothing(server: FakeServer, engine: CompletionsEngine) -> None:
    stopped_by = None if server.kind == "vllm" else 9
    server.script = Script([(7, "Hel"), (8, "lo"), (9, "<|9|>")], finish="stop", stopped_by=stopped_by)
    for _ in range(2):
        chunks = await chunks_of(engine, LegRequest(PROMPT, 3))
        assert joined(chunks)[:2] == ([7, 8, 9], "Hello") and chunks[-1].finish_reason == "stop"


@pytest.mark.parametrize("by_string", [True, False])
async def test_a_stop_keeps_its_text(server: FakeServer, engine: CompletionsEngine, by_string: bool) -> None:
    server.script = Script([(7, "Hel"), (9, "<|9|>")], finish="stop", stopped_by="<|9|>" if by_string else 9)
    chunks = await chunks_of(engine, LegRequest(PROMPT, 3, stop=("<|9|>",), stop_token_ids=() if by_string else (9,)))
    assert joined(chunks)[:2] == ([7, 9], "Hel<|9|>")


async def test_missing_usage_is_made_up_for(server: FakeServer, engine: CompletionsEngine) -> None:
    server.script = Script(without_usage=True)
    usage = (await chunks_of(engine, LegRequest(PROMPT, 3)))[-1].usage
    assert usage is not None and usage.completion_tokens == 3 and usage.cached_tokens is None


async def test_a_finished_legs_connection_is_used_again(server: FakeServer, engine: CompletionsEngine) -> None:
    server.connections.clear()
    for _ in range(5):
        await chunks_of(engine, LegRequest(PROMPT, 3))
    assert len(server.connections) == 1
