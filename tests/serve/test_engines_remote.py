"""The vLLM and SGLang adapters against a scripted server on the loopback: fields, errors, aborts, odd streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from pir_serve.engines.base import LegRequest, SamplingParams, TokenChunk, Usage
from pir_serve.engines.completions import CompletionsEngine
from pir_serve.engines.sglang import SglangEngine
from pir_serve.engines.verify import verify
from pir_serve.engines.vllm import VllmEngine
from pir_serve.errors import (
    ConfigError,
    ContextLengthExceeded,
    EngineError,
    EngineProtocolError,
    EngineRejected,
    EngineUnavailable,
)
from pir_serve.trajectory import Author, Segment
from tests.engines.fake_server import FakeServer, Script

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


async def test_a_finished_legs_connection_is_used_again(server: FakeServer, engine: CompletionsEngine) -> None:
    server.connections.clear()
    for _ in range(5):
        await chunks_of(engine, LegRequest(PROMPT, 3))
    assert len(server.connections) == 1


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


async def test_sglang_without_a_known_vocabulary_warns(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    if server.kind == "vllm":
        pytest.skip("vLLM checks ids itself")
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
