"""Log lines: one for each request, with its id wherever it comes from; as JSON where collectors read them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from pir_serve.telemetry.logs import _JsonLines, current_request_id
from tests.serve.brains import PROBLEM, curious
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
CHAT = "/v1/chat/completions"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """As the process would write them."""
    written: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Collecting()
    handler.setFormatter(_JsonLines())
    caplog.set_level(logging.INFO, "pir_serve")
    logging.getLogger("pir_serve").addHandler(handler)
    yield written
    logging.getLogger("pir_serve").removeHandler(handler)


async def test_each_line_is_an_object_with_its_requests_id(make_desk: MakeDesk, lines: list[str]) -> None:
    async with in_process(make_desk(curious, api_key=("correct-horse",))) as client:
        headers = {"authorization": "Bearer correct-horse", "x-request-id": "req-of-mine"}
        body = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
        reply = await client.post(CHAT, json=body, headers=headers)
        assert reply.headers["x-request-id"] == "req-of-mine"
        await client.post(CHAT, json=body, headers={**headers, "x-request-id": "bad id\u00e9".encode("latin-1")})
        await client.get("/v1/models")
    found = [json.loads(line) for line in lines]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in found)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in found)
    mine = [line["message"] for line in found if line.get("request_id") == "req-of-mine"]
    assert any("awaiting_user" in message for message in mine)
    assert any(re.search(rf"POST {CHAT} 200, [\d.]+ s, key_", message) for message in mine)
    assert any(" 401, " in line["message"] and line["request_id"].startswith("req_") for line in found)
    for secret in ("Nora", "pen", "correct-horse", "bad id"):
        assert secret not in "".join(lines)


async def test_concurrent_requests_keep_their_ids_apart(make_desk: MakeDesk, lines: list[str]) -> None:
    async with in_process(make_desk(curious)) as client:
        body = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
        await asyncio.gather(*(client.post(CHAT, json=body, headers={"x-request-id": f"req-{k}"}) for k in range(20)))
    replies = [json.loads(line) for line in lines if "awaiting_user" in line]
    assert {line["request_id"] for line in replies} == {f"req-{k}" for k in range(20)}
    assert all(line["message"].startswith(line["request_id"] + " ") for line in replies)


def test_what_json_cannot_hold_is_written_all_the_same() -> None:
    record = logging.LogRecord("pir_serve", logging.ERROR, "", 0, "odd \ud800 %s", ("name",), None)
    current_request_id.set("")
    line = json.loads(_JsonLines().format(record))
    assert line["message"] == "odd ? name" and "request_id" not in line
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.LogRecord("pir_serve", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    assert "ValueError: why" in json.loads(_JsonLines().format(record))["error"]


@pytest.mark.parametrize("path", ["/v1/no", "/no", "/v1/responses/resp_x", "/v1/chat/completions", "/health"])
async def test_every_reply_has_a_request_id(make_desk: MakeDesk, path: str) -> None:
    async with in_process(make_desk(curious)) as client:
        for headers in ({"x-request-id": "req-of-mine"}, {}):
            for method in ("GET", "POST"):
                reply = await client.request(method, path, headers=headers)
                assert re.fullmatch(headers.get("x-request-id", r"req_[0-9a-f]{24}"), reply.headers["x-request-id"])
