"""A stand-in for vLLM that costs next to nothing: `python -m benchmarks.mock_engine --tokenizer DIR`.

Speaks the part of vLLM's completions dialect that the gateway uses, with an event a token, as vLLM writes them, and plain
Chat Completions for other gateways. One process, one loop, no framework, replies laid out beforehand: what is measured
behind it should be the gateway. It prints its address when it listens, and ends when its standard input does, so it
never outlives who started it.

`POST /bench` sets the `Plan` of the legs to come; `GET /bench` tells what has been served, and the last leg's request.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import httptools
import orjson
import uvloop

from benchmarks.mock_script import MODEL, ChatScript, Plan, Script

MAX_MODEL_LEN = 32_768
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Refused(Exception):
    """400, as vLLM would."""


class MockEngine:
    """What all connections share."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.chat_script = ChatScript()
        self.plan = Plan()
        self.legs = 0
        self.aborted = 0
        self.last_request: dict[str, Any] = {}

    def complete(self, body: bytes) -> tuple[bool, list[bytes]]:
        """Whether to stream, and the framed events; or the whole reply. Raises: Refused."""
        fields = orjson.loads(body)
        prompt, limit = fields.get("prompt"), fields.get("max_tokens", 16)
        if fields.get("model") != MODEL or not fields.get("return_token_ids"):
            raise Refused(f"this engine serves {MODEL}, by token ids only (return_token_ids)")
        if not isinstance(prompt, list) or not prompt or limit < 1 or len(prompt) + limit > MAX_MODEL_LEN:
            raise Refused(f"prompt must be token ids, and leave room for max_tokens in {MAX_MODEL_LEN}")
        if not 0 <= min(prompt) <= max(prompt) < self.script.codec.vocab_size:
            raise Refused("Token id out of vocabulary")
        self.legs += 1
        self.last_request = fields
        leg = self.script.leg(self.plan, prompt, limit, logprobs=fields.get("logprobs") is not None)
        is_stream = bool(fields.get("stream"))
        return is_stream, leg.events(prompt) if is_stream else [leg.body(prompt)]

    def chat(self, body: bytes) -> tuple[bool, list[bytes]]:
        """As `complete`. Raises: Refused."""
        fields = orjson.loads(body)
        if fields.get("model") != MODEL or not fields.get("messages"):
            raise Refused(f"this engine serves {MODEL}, and needs messages")
        self.legs += 1
        if fields.get("stream"):
            return True, self.chat_script.events(self.plan)
        return False, [self.chat_script.body(self.plan)]

    def other(self, path: bytes, body: bytes) -> dict[str, Any]:
        """The small paths. Raises: Refused, KeyError, TypeError, ValueError."""
        if path == b"/bench":
            if body:
                self.plan = Plan(**orjson.loads(body))
            counts = {"legs": self.legs, "aborted": self.aborted}
            return counts | {"plan": asdict(self.plan), "last_request": self.last_request}
        if path == b"/v1/models":
            return {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": MAX_MODEL_LEN}]}
        if path == b"/tokenize":
            ids = self.script.codec.encode_model(orjson.loads(body)["prompt"]).token_ids
            return {"tokens": ids, "count": len(ids), "max_model_len": MAX_MODEL_LEN}
        if path == b"/detokenize":
            return {"prompt": self.script.spell(orjson.loads(body)["tokens"])}
        if path == b"/health":
            return {}
        raise Refused(f"there is no {path.decode(errors='replace')} here")


class Stream:
    """Writes a leg's events at the plan's pace: each token in a write of its own, but for those that are overdue."""

    def __init__(self, plan: Plan, events: list[bytes], write: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._rate = plan.rate
        self._events = events
        self._write = write
        self._at = 0
        self._start = self._loop.time() + plan.first_delay_s
        self._may_write = True
        self._timer: asyncio.Handle = self._loop.call_at(self._start, self._step)

    @property
    def is_over(self) -> bool:
        return self._at == len(self._events)

    def stop(self) -> None:
        self._timer.cancel()

    def may_write(self, may_write: bool) -> None:
        """Whether the reader keeps up."""
        was_waiting, self._may_write = not self._may_write, may_write
        if was_waiting and may_write and not self.is_over:
            self._timer.cancel()
            self._step()

    def _step(self) -> None:
        if not self._may_write:
            return
        now = self._loop.time()
        due = max(self._at + 1, int((now - self._start) * self._rate) + 1)
        ready = self._events[self._at : due]
        self._at += len(ready)
        if not self.is_over:
            next_at = self._start + self._at / self._rate if self._rate else now
            self._timer = self._loop.call_at(next_at, self._step)
        self._write(b"".join(ready))


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after the other; nobody pipelines here."""

    def __init__(self, engine: MockEngine) -> None:
        self._engine = engine
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._body: list[bytes] = []
        self._stream: Stream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's derives from neither class

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._stream is not None and not self._stream.is_over:
            self._stream.stop()
            self._engine.aborted += 1

    def pause_writing(self) -> None:
        if self._stream is not None:
            self._stream.may_write(False)

    def resume_writing(self) -> None:
        if self._stream is not None:
            self._stream.may_write(True)

    # httptools calls these three.
    def on_url(self, url: bytes) -> None:
        self._path, self._body = url, []

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = b"".join(self._body)
        try:
            if self._path == b"/v1/completions":
                is_stream, parts = self._engine.complete(body)
            elif self._path == b"/v1/chat/completions":
                is_stream, parts = self._engine.chat(body)
            else:
                self._send(b"200 OK", orjson.dumps(self._engine.other(self._path, body)))
                return
        except (Refused, KeyError, TypeError, ValueError) as error:
            reply = {"error": {"message": str(error), "type": "BadRequestError", "code": 400}}
            self._send(b"400 Bad Request", orjson.dumps(reply))
            return
        if is_stream:
            self._transport.write(_STREAM_HEAD)
            self._stream = Stream(self._engine.plan, parts, self._transport.write)
        else:
            self._send(b"200 OK", parts[0])

    def _send(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % (status, len(body)) + body)


async def serve(script: Script, port: int) -> None:
    loop = asyncio.get_running_loop()
    engine = MockEngine(script)
    server = await loop.create_server(lambda: Connection(engine), "127.0.0.1", port, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = loop.run_in_executor(None, sys.stdin.read)
    async with server:
        await ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder with tokenizer.json and chat template")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Script(args.tokenizer), args.port))


if __name__ == "__main__":
    main()
