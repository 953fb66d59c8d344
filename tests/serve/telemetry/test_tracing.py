"""Traces as a collector receives them over OTLP: spans of requests and legs, links from resumes, no texts."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious
from tests.serve.conftest import Desk, in_process
from tests.serve.served import served
from tests.serve.thinking_server import thinking

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MakeDesk = Callable[..., Desk]
CHAT = "/v1/chat/completions"
FIRST: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
SECOND = {
    "model": "scripted",
    "messages": [*FIRST["messages"], {"role": "assistant", "content": QUESTION}, {"role": "user", "content": "4"}],
}


@dataclass
class Collector:
    """Spans, in the order in which they ended, and all that was sent of them."""

    spans: list[Any] = field(default_factory=list)
    raw: bytes = b""

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    received = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            body = gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
            received.raw += body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                received.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    yield received
    server.shutdown()
    server.server_close()
    thread.join()


def told(span: Any) -> dict[str, Any]:
    found = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        found[attribute.key] = [v.string_value for v in value.values] if kind == "array_value" else value
    return found


async def test_a_resume_is_linked_to_what_was_suspended(make_desk: MakeDesk, collector: Collector) -> None:
    async with in_process(make_desk(curious, traces=True)) as client:
        asked = await client.post(CHAT, json=FIRST, headers={"x-request-id": "req-first"})
        answered = await client.post(CHAT, json={**SECOND, "stream": True})
        assert answered.headers["x-pir-resume"] == "hash"
    first, second = collector.named("chat scripted")
    assert told(first)["pir.status"] == "awaiting_user" and told(first)["pir.request_id"] == "req-first"
    assert told(first)["pir.suspension"] == asked.headers["x-pir-session"]
    usage = asked.json()["usage"]
    assert told(first)["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert told(first)["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert told(first)["gen_ai.operation.name"] == "chat" and told(first)["gen_ai.request.model"] == "scripted"
    assert told(first)["gen_ai.response.finish_reasons"] == ["stop"]
    assert told(second)["gen_ai.conversation.id"] == told(first)["gen_ai.conversation.id"]
    assert told(second)["pir.resume"] == "hash" and not first.links
    assert [(link.trace_id, link.span_id) for link in second.links] == [(first.trace_id, first.span_id)]
    assert second.trace_id != first.trace_id
    legs = collector.named("text_completion scripted")
    assert [(leg.trace_id, leg.parent_span_id) for leg in legs] == [
        (first.trace_id, first.span_id),
        (second.trace_id, second.span_id),
    ]
    assert told(legs[1])["pir.cached_tokens"] > 0


async def test_the_link_outlives_a_restart_and_the_clients_own_trace_is_joined(
    make_desk: MakeDesk, collector: Collector
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with in_process(make_desk(curious, traces=True)) as client:
        await client.post(CHAT, json=FIRST, headers={"traceparent": parent})
    async with in_process(make_desk(curious, traces=True)) as client:
        await client.post(CHAT, json=SECOND, headers={"traceparent": "nonsense"})
    first, second = collector.named("chat scripted")
    assert (
        first.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c" and first.parent_span_id.hex() == "b7ad6b7169203331"
    )
    assert second.links[0].span_id == first.span_id and second.trace_id != first.trace_id


async def test_the_engines_own_trace_goes_on_from_the_leg(
    tokenizer_dir: Path, tmp_path: Path, collector: Collector
) -> None:
    async with (
        thinking(tokenizer_dir) as [server],
        served([server], tokenizer_dir, tmp_path, traces=True) as gateway,
    ):
        server.headers.clear()
        assert (await gateway.chat()).status_code == 200
    [leg] = collector.named("text_completion thinker")
    [sent] = [headers["traceparent"] for headers in server.headers]
    assert sent.startswith(f"00-{leg.trace_id.hex()}-{leg.span_id.hex()}-0")


async def test_what_people_and_the_model_wrote_is_in_no_trace(make_desk: MakeDesk, collector: Collector) -> None:
    desk = make_desk(curious, traces=True, api_key=("correct-horse",))
    async with in_process(desk) as client:
        for body in (FIRST, SECOND, {**FIRST, "pir": {"ask": "never"}}):
            await client.post(CHAT, json=body, headers={"authorization": "Bearer correct-horse"})
    assert len(collector.spans) == 3 + 4
    for words in (PROBLEM, QUESTION, "Six pens", "correct-horse", "No user is available"):
        assert words.encode() not in collector.raw


async def test_errors_are_marked_and_a_background_response_is_traced_to_its_end(
    make_desk: MakeDesk, collector: Collector
) -> None:
    def script(prompt: str) -> Line:
        return Line("\nOn.", end="die") if "unwell" in prompt else Line(curious(prompt), first_delay_s=0.2)

    async with in_process(make_desk(script, traces=True)) as client:
        assert (await client.post(CHAT, json={**FIRST, "model": "no"})).status_code == 404
        unwell = {**FIRST, "messages": [{"role": "user", "content": "unwell"}]}
        assert (await client.post(CHAT, json=unwell)).status_code == 503
        await client.post("/v1/responses", json={"model": "scripted", "input": PROBLEM, "background": True})
        await _until(lambda: _all_ended(client))
    errors = [told(span)["error.type"] for span in collector.spans if span.status.code == 2]
    assert {"404", "503", "engine_unavailable"} <= set(errors)
    background = collector.named("chat scripted")[-1]
    assert told(background)["pir.status"] == "awaiting_user"
    assert background.end_time_unix_nano - background.start_time_unix_nano > 150_000_000


async def _all_ended(client: httpx.AsyncClient) -> bool:
    return bool((await client.get("/v1/pir/sessions?status=awaiting_user")).json()["data"])


async def _until(holds: Callable[[], Any]) -> None:
    for _ in range(200):
        if await holds():
            await asyncio.sleep(0.1)
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to pass")


def test_nothing_of_it_is_imported_unless_traces_are_wanted() -> None:
    code = (
        "import sys, pir_serve.api.build, pir_serve.commands.serve\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'psycopg'))])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
