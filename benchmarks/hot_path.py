"""CPU time of the gateway's own code, in process: `python -m benchmarks.hot_path [--profile FILE]`.

The real application answers streamed requests, over the real engine client; only the two sockets are left out. What an
engine would send is laid out beforehand and comes event by event, each when the one before it has been sent on. So the
figures hardly depend on what else the machine does, and two versions of the code can be compared on a busy one. Most of
what a token costs beyond them is the kernel's: a read and a write.

A token costs what a long reply costs more than a short one; a request costs the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop
from starlette.applications import Starlette

from benchmarks.mock_script import MODEL, Plan, Script
from benchmarks.report import Table
from pir_serve.api.app import create_app
from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.engines.http import Reply
from pir_serve.engines.vllm import VllmEngine
from pir_serve.prompt import PromptCodec
from pir_serve.settings import BUILTIN_MODEL, Settings
from pir_serve.store.sqlite import SqliteStore

SHORT, LONG = 40, 296
"""Tokens of the two kinds of reply; their difference is what a token costs."""
_TURNS = 5
"""Of the loop, from one event of a stream to the next. Its reader needs two and its writer one more: each event is read by
itself, which costs most."""
_PATHS = ("/v1/chat/completions", "/v1/responses")


class _Tape:
    """A connection whose peer has said everything beforehand."""

    def __init__(self, events: list[bytes]) -> None:
        self._events = iter(events)
        self.transport = self

    def send(self, raw: bytes, reply: Reply) -> None:
        self._reply = reply
        reply.status = 200
        reply.heard()
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._play)

    def _play(self, turn: int = 1) -> None:
        if turn < _TURNS:
            self._loop.call_soon(self._play, turn + 1)
            return
        event = next(self._events, None)
        if event is None:
            self._reply.end()
        else:
            self._reply.add(event)
            self._loop.call_soon(self._play)
        self._reply.heard()

    def abort(self) -> None: ...


class _TapedEngine(VllmEngine):
    """Everything of vLLM's client but the network."""

    def __init__(self, script: Script) -> None:
        super().__init__("http://127.0.0.1:1", MODEL)
        self.max_model_len = 32_768
        self.plan = Plan()
        self._script = script

    async def start(self) -> None: ...

    async def tokenize(self, text: str) -> list[int]:
        return list(self._script.codec.encode_model(text).token_ids)

    async def _spelling(self, token: int) -> str:
        return self._script.spell([token])

    async def _post(self, body: bytes, headers: dict[str, str]) -> Reply:
        fields = orjson.loads(body)
        logprobs = "logprobs" in fields
        leg = self._script.leg(self.plan, fields["prompt"], fields["max_tokens"], logprobs=logprobs)
        events = [event.split(b"\r\n", 1)[1] for event in leg.events(fields["prompt"])]  # out of their HTTP chunks
        return await Reply(cast(Any, _Tape(events)), 300.0).begin(body)


@dataclass(frozen=True)
class Cost:
    """Of streamed replies, CPU time of this process."""

    request_ms: float
    token_us: float


async def measure(folder: Path, path: str, in_flight: int, rounds: int, *, tokens: int = LONG) -> Cost:
    """The lowest of `rounds`: what disturbs a measurement only ever adds."""
    script = Script(folder)
    engine = _TapedEngine(script)
    with tempfile.TemporaryDirectory() as where:
        settings = Settings(engine="vllm", engine_url=("http://127.0.0.1:1",), model=MODEL, keep_s=0.0)
        model = ServedModel(MODEL, engine, PromptCodec.load(folder))
        gateway = Gateway(settings, [model], SqliteStore(Path(where) / "pir.db"), b"s" * 32)
        app = create_app(gateway, manage=False)
        async with gateway.running():
            gc.collect()
            gc.freeze()  # as the server does
            lowest = {}
            for length in (SHORT, tokens):
                engine.plan = Plan(length)
                await _cpu_s(app, path, in_flight)  # to warm up
                lowest[length] = min([await _cpu_s(app, path, in_flight) for _ in range(rounds)]) / in_flight
    token_s = (lowest[tokens] - lowest[SHORT]) / (tokens - SHORT)
    return Cost((lowest[SHORT] - SHORT * token_s) * 1e3, token_s * 1e6)


async def _cpu_s(app: Starlette, path: str, in_flight: int) -> float:
    """Of so many replies at a time."""
    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(_exchange(app, path) for _ in range(in_flight)))
    return time.process_time() - began


async def _exchange(app: Starlette, path: str) -> None:
    """One streamed reply, as a server would have the application make it."""
    said = "How much do six pens cost, if one costs four dollars?"
    words = {"messages": [{"role": "user", "content": said}]} if "chat" in path else {"input": said, "store": False}
    unread = [orjson.dumps({"model": MODEL, "stream": True, **words})]
    last = b""
    over = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal last
        last = message.get("body") or last

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    await app({**scope, "headers": headers, "http_version": "1.1", "scheme": "http"}, receive, send)
    over.set()
    assert last.endswith(b"data: [DONE]\n\n"), last[-300:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", type=Path, help="write cProfile's data of one round of long replies there")
    args = parser.parse_args()
    if args.profile is not None:
        with cProfile.Profile() as profile:
            uvloop.run(measure(BUILTIN_MODEL, _PATHS[0], 32, 1))
        profile.dump_stats(args.profile)
        return
    lines = []
    for path in _PATHS:
        for in_flight in (1, 32):
            cost = uvloop.run(measure(BUILTIN_MODEL, path, in_flight, args.rounds * (1 if in_flight > 1 else 8)))
            lines.append([path, str(in_flight), f"{cost.request_ms:.2f}", f"{cost.token_us:.1f}"])
    print(Table(["path", "in flight", "CPU ms a request", "CPU us a token"], lines))


if __name__ == "__main__":
    main()
