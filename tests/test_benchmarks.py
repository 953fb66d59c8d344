"""The benchmarks run end to end in miniature, what they write is well formed, and they refuse to time wrong replies.
No test here looks at how long anything took."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.load import BadReply, Call, Connection, closed_loop, percentile, post
from benchmarks.measures import DIRECT_TEXT, GATEWAY_TEXT, Compared, Memory, Resumed, Round, summary
from benchmarks.mock_script import ANSWER, MODEL, QUESTION, Plan
from benchmarks.processes import Started, StartFailed, mock_engine, pinned
from benchmarks.report import Results, page, spread
from pir_serve.engines.base import LegRequest, SamplingParams, TokenChunk
from pir_serve.engines.vllm import VllmEngine
from pir_serve.errors import EngineRejected
from pir_serve.markup import TAGS
from pir_serve.prompt import Message, PromptCodec
from tests.serve.conftest import write_tokenizer

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("benchmarks") / "atomic")


@pytest.fixture(scope="module", params=[True, False], ids=["tags are tokens", "tags are text"])
def mock(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Started, Path]]:
    folder = write_tokenizer(tmp_path_factory.mktemp("mock") / "tokenizer", atomic_tags=request.param)
    with mock_engine(folder, ()) as started:
        yield started, folder


@asynccontextmanager
async def engine_at(url: str) -> AsyncIterator[VllmEngine]:
    engine = VllmEngine(url, MODEL)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()


async def bench(url: str, plan: dict[str, Any] | None = None) -> dict[str, Any]:
    raw = post(url, "/bench", plan) if plan else b"GET /bench HTTP/1.1\r\nHost: bench\r\n\r\n"
    [reply] = await closed_loop(url, lambda _: Call(raw, None, b""), count=1, in_flight=1)
    return dict(orjson.loads(reply.body))


async def leg(engine: VllmEngine, prompt: list[int], codec: PromptCodec, max_tokens: int = 1000) -> list[TokenChunk]:
    request = LegRequest(
        prompt, max_tokens, SamplingParams(), stop=(TAGS.ask_close,), stop_token_ids=codec.ask_stop_ids
    )
    return [chunk async for chunk in engine.generate(request)]


def tables(text: str) -> list[list[list[str]]]:
    """Cells of each table, the line of dashes left out."""
    blocks = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    rows = [[[cell.strip() for cell in line[1:-1].split("|")] for line in block.splitlines()] for block in blocks]
    assert all(set(table[1]) == {"---"} for table in rows)
    return [[table[0], *table[2:]] for table in rows]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_run_in_miniature_prints_and_writes_its_page(tokenizer: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    command = [
        sys.executable,
        "-m",
        "benchmarks.gateway",
        "--quick",
        "--tokenizer",
        str(tokenizer),
        "--write",
        str(file),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = file.read_text()
    assert done.stdout == text + "\n"
    for heading in ("Bars", "Added latency", "Streams", "Whole replies", "Ask and resume", "Memory"):
        assert f"\n## {heading}" in text
    found = tables(text)
    assert len(found) >= 7
    for table in found:
        assert len(table) > 1 and {len(row) for row in table} == {len(table[0])}
        assert all(cell and "nan" not in cell and "inf" not in cell for row in table[1:] for cell in row)


def test_a_folder_without_a_tokenizer_is_refused_before_anything_starts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gateway", "--tokenizer", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "no tokenizer.json" in done.stderr


def test_a_process_that_cannot_start_is_reported_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"tokenizer\.json"), mock_engine(tmp_path, ()):
        pass


async def test_the_mock_engine_asks_then_answers_as_vllm_would(mock: tuple[Started, Path]) -> None:
    started, folder = mock
    codec = PromptCodec.load(folder)
    prompt = [i for segment in codec.encode_prompt([Message("user", "How much?")]) for i in segment.token_ids]
    await bench(started.url, {"tokens": 60, "asks": True})
    async with engine_at(started.url) as engine:
        asked = await leg(engine, prompt, codec)
        ids = [i for chunk in asked for i in chunk.token_ids]
        text = "".join(chunk.text for chunk in asked)
        assert text.endswith(f"{TAGS.ask_open}{QUESTION}{TAGS.ask_close}") and text == codec.decode(ids)
        assert asked[-1].finish_reason == "stop" and asked[-1].usage is not None
        assert asked[-1].usage.completion_tokens == len(ids) == 60
        assert sum(len(chunk.logprobs) for chunk in asked) == 60
        response = codec.encode_response("Two dollars.").token_ids
        answered = await leg(engine, [*prompt, *ids, *response], codec)
    text = "".join(chunk.text for chunk in answered)
    assert text.endswith(f"{TAGS.think_close}\n{ANSWER}")  # EOS is among the ids, and spells nothing
    assert answered[-1].token_ids[-1] in codec.eos_ids
    assert (await bench(started.url))["last_request"]["prompt"] == [*prompt, *ids, *response]


async def test_the_mock_engine_stops_at_max_tokens_and_says_so(mock: tuple[Started, Path]) -> None:
    started, folder = mock
    await bench(started.url, {"tokens": 60})
    async with engine_at(started.url) as engine:
        for limit in (1, 7):
            chunks = await leg(engine, [1, 2, 3], PromptCodec.load(folder), max_tokens=limit)
            assert sum(len(chunk.token_ids) for chunk in chunks) == limit
            assert chunks[-1].finish_reason == "length"


async def test_the_mock_engine_notices_an_abort(mock: tuple[Started, Path]) -> None:
    started, _ = mock
    await bench(started.url, {"tokens": 60, "rate": 20.0})
    async with engine_at(started.url) as engine:
        before = (await bench(started.url))["aborted"]
        async with aclosing(engine.generate(LegRequest([1, 2], 100))) as chunks:
            await anext(chunks)
        for _ in range(500):
            if (await bench(started.url))["aborted"] == before + 1:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("a leg that was closed runs on")


async def test_the_mock_engine_refuses_what_vllm_refuses(mock: tuple[Started, Path]) -> None:
    started, folder = mock
    async with engine_at(started.url) as engine:
        with pytest.raises(EngineRejected, match="out of vocabulary"):
            await leg(engine, [10**6], PromptCodec.load(folder))
    for body in ({"model": "other"}, {"model": MODEL, "prompt": "text", "return_token_ids": True}, {}):
        refused = Call(post(started.url, "/v1/completions", body), None, b"")
        with pytest.raises(BadReply, match="status 400"):
            await closed_loop(started.url, lambda _, call=refused: call, count=1, in_flight=1)  # type: ignore[misc]


async def test_a_reply_without_what_it_must_hold_is_not_timed(mock: tuple[Started, Path]) -> None:
    started, _ = mock
    body = {"model": MODEL, "prompt": [1], "max_tokens": 500, "stream": True, "return_token_ids": True}
    raw = post(started.url, "/v1/completions", body)
    await bench(started.url, {"tokens": 30})
    good = Call(raw, DIRECT_TEXT, b"[DONE]")
    replies = await closed_loop(started.url, lambda _: good, count=20, in_flight=4)
    assert len(replies) == 20 and len({reply.body for reply in replies}) == 1
    for reply in replies:
        assert reply.began < reply.arrivals[0] <= reply.first_text <= reply.ended == reply.arrivals[-1]
        assert all(a < b for a, b in pairwise(reply.arrivals))
    for wrong in (Call(raw, DIRECT_TEXT, b"no such words"), Call(raw, GATEWAY_TEXT, b"[DONE]")):
        with pytest.raises(BadReply):
            await closed_loop(started.url, lambda _, call=wrong: call, count=1, in_flight=1)  # type: ignore[misc]


async def test_a_connection_that_breaks_off_is_not_timed() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it")
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection = await Connection.open(url)
        with pytest.raises(BadReply, match="broke off"):
            await connection.exchange(Call(post(url, "/", {}), None, b"half"))


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([3.0], 99, 3.0), ([4.0, 1.0, 3.0, 2.0], 50, 2.0), ([4.0, 1.0, 3.0, 2.0], 99, 4.0), ([1.0, 2.0], 0, 1.0)],
)
def test_percentiles_are_values_that_were_measured(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_a_spread_shows_the_median_between_the_extremes() -> None:
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert spread([1234.4], 0) == "1,234"
    assert spread([1.0, float("nan")]) == spread([]) == "-"


def a_round(end_ms: float, first_ms: float = 1.0) -> Round:
    return Round(first_ms, first_ms, end_ms, end_ms, 1.0, 1.0, 10.0, 8, 1.0, 0.5, 0.1)


def compared(direct_ms: list[float], gateway_ms: list[float], rate: float = 100.0) -> Compared:
    rounds = {"direct": [a_round(ms) for ms in direct_ms], "gateway": [a_round(ms) for ms in gateway_ms]}
    return Compared(Plan(64, rate=rate), 32, rounds)  # type: ignore[arg-type]


def test_differences_are_taken_within_a_round() -> None:
    moved = compared([10.0, 110.0, 210.0], [11.0, 111.0, 211.0])
    assert moved.added("end_p50") == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("gateway_ms", "held"), [(101.0, "yes"), (103.0, "**no**")])
def test_a_bar_is_held_or_not(gateway_ms: float, held: str) -> None:
    results = Results({"machine": "a desk"}, latency=[compared([100.0], [gateway_ms])])
    bars = next(table for table in tables(page(results)) if table[0][-1] == "held")
    assert [row[-1] for row in bars[1:] if "whole reply" in row[0]] == [held]


def test_more_than_five_percent_breaks_the_bar_even_below_two_milliseconds() -> None:
    results = Results({"machine": "a desk"}, latency=[compared([10.0], [11.0])])
    bars = next(table for table in tables(page(results)) if table[0][-1] == "held")
    assert [row[-1] for row in bars[1:] if "whole reply" in row[0]] == ["**no**"]


def test_memory_is_counted_from_the_first_row() -> None:
    results = Results({"machine": "a desk"}, memory=[Memory(0, 50 << 20), Memory(1024, 60 << 20)])
    table = next(table for table in tables(page(results)) if table[0][0] == "suspended")
    assert table[1:] == [["0", "50.0", "-"], ["1,024", "60.0", "10.0"]]


def test_the_page_says_when_others_used_the_machine() -> None:
    assert "Other programs used much" in page(Results({"machine": "a desk"}, is_busy=True))
    assert "Other programs used much" not in page(Results({"machine": "a desk"}))


def test_what_was_not_measured_has_no_section() -> None:
    row = compared([10.0], [11.0])
    text = page(Results({"machine": "a desk"}, resumed=Resumed(row, row)))
    assert "## Ask and resume" in text and "## Memory" not in text and "## Built-in model" not in text


def test_a_summary_of_replies_needs_no_gaps(tokenizer: Path) -> None:
    from benchmarks.load import Reply

    plain = Reply(began=1.0, status=200, arrivals=[1.5], first_text=1.5, ended=1.5)
    found = summary([plain], 1.0, 0.1, 0.1)
    assert found.first_p50 == found.end_p99 == 500.0 and found.gap_p50 != found.gap_p50


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin processes")
def test_pinning_ends_with_its_block() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ZeroDivisionError), pinned((min(before),)):
        assert os.sched_getaffinity(0) == {min(before)}
        raise ZeroDivisionError
    assert os.sched_getaffinity(0) == before
