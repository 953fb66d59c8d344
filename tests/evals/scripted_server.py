"""Models that are written beforehand, behind real HTTP: a policy over known rows, served as a plain OpenAI server or through
our own gateway. Faults can be put into the plain one's replies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import uvicorn
from aiohttp import web

from evals.problems import KINDS, question
from evals.problems.model import Fact
from evals.rows import Row
from evals.simulators.told import question_for
from pir_serve.api.app import create_app
from pir_serve.api.gateway import Gateway, ServedModel
from pir_serve.prompt import PromptCodec
from pir_serve.settings import Settings
from pir_serve.store.sqlite import SqliteStore
from tests.fakes import ScriptedEngine

WRONG = "The answer is \\boxed{-1}."


@dataclass(frozen=True)
class Situation:
    """What a policy sees: the row, what its text lacks, and what the user has said since."""

    row: Row
    missing: tuple[Fact, ...]
    """Hidden facts that no response has given yet."""
    num_told: int
    may_ask: bool

    def ask(self) -> str:
        facts = self.missing or self.row.facts
        fact = facts[0]
        text = question(fact, Random(0)) if fact.kind in KINDS else question_for(fact)
        return f"<asking>{text}</asking>"

    def answer(self) -> str:
        """Right exactly if nothing is missing."""
        return WRONG if self.missing else f"The answer is \\boxed{{{self.row.gold}}}."


Policy = Callable[[Situation], str]


def oracle_asker(at: Situation) -> str:
    """Asks for exactly what is missing, then answers."""
    return at.ask() if at.missing and at.may_ask else at.answer()


def never_asks(at: Situation) -> str:
    return at.answer()


def always_asks(at: Situation) -> str:
    """One question whatever the problem, and then an answer."""
    return at.ask() if at.may_ask and not at.num_told else at.answer()


def asks_forever(at: Situation) -> str:
    return at.ask() if at.may_ask else at.answer()


class Script:
    """A policy, over rows that it finds by their text."""

    def __init__(self, rows: Iterable[Row], policy: Policy) -> None:
        self._policy = policy
        self._by_text: dict[str, tuple[Row, tuple[Fact, ...]]] = {}
        for row in rows:
            self._by_text.setdefault(row.full, (row, ()))
            self._by_text[row.shown] = (row, row.hidden)

    def situation(self, text: str, responses: list[str], *, may_ask: bool) -> Situation:
        row, hidden = self._by_text[text]
        said = " ".join(responses)
        return Situation(row, tuple(f for f in hidden if not _gives(said, f)), len(responses), may_ask)

    def play(self, text: str, responses: list[str], *, may_ask: bool) -> str:
        return self._policy(self.situation(text, responses, may_ask=may_ask))

    def play_prompt(self, prompt: str) -> str:
        """The next leg of a trajectory, from the prompt's text as an engine reads it."""
        text, _, trajectory = prompt.rpartition("<|im_start|>user\n")[2].partition("<|im_end|>")
        responses = re.findall(r"<response>(.*?)</response>", trajectory, re.DOTALL)
        said = self.play(text, responses, may_ask=True)
        return f"I look at it.\n{said}" if "<asking>" in said else f"That is all.\n</think>\n{said}"


_READINGS = {"each": r"\b(each|every|apiece|one)\b", "in all": r"\b(all|altogether|together|total)\b"}


def _gives(said: str, fact: Fact) -> bool:
    if fact.kind not in KINDS:
        return fact.text.lower().rstrip(".,;:") in said.lower()
    said_as = _READINGS.get(fact.unit, fact.unit.split()[-1]) if KINDS[fact.kind].reading else rf"\b{fact.value}\b"
    return re.search(said_as, said, re.IGNORECASE) is not None


Fault = Callable[[web.Request, dict[str, Any], int], "web.StreamResponse | None"]
"""(request, body, number of this row's calls so far) -> another response, or None for the script's."""


@dataclass
class PlainServer:
    """A server that knows nothing of ours, but for its manners: `/models`, `stop`, `usage`."""

    script: Script
    fault: Fault | None = None
    honours_stop: bool = True
    model: str = "scripted"
    port: int = 0
    delay_s: float = 0.0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    url: str = ""
    most_at_once: int = 0
    _now: int = 0

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.model, "object": "model"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await asyncio.sleep(self.delay_s)
            return await self._complete(request, body)
        finally:
            self._now -= 1

    async def _complete(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        said = [m["content"] for m in body["messages"] if m["role"] == "user"]
        self.calls[said[0]] += 1
        if self.fault is not None:
            other = self.fault(request, body, self.calls[said[0]])
            if asyncio.iscoroutine(other):
                other = await other
            if other is not None:
                return other
        may_ask = "<asking>" in body["messages"][0]["content"]
        text = self.script.play(said[0], said[1:], may_ask=may_ask)
        return completion(text, body if self.honours_stop else {})


def completion(text: str, body: dict[str, Any] | None = None, *, reason: str = "stop") -> web.Response:
    """A chat completion that says `text`, cut at the body's stop strings, as servers do."""
    for stop in (body or {}).get("stop") or ():
        text = text.partition(stop)[0]
    return web.json_response(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "scripted",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
            "usage": {"prompt_tokens": 50, "completion_tokens": len(text.split()), "total_tokens": 50},
        }
    )


@contextlib.contextmanager
def serving(server: PlainServer) -> Iterator[PlainServer]:
    """The server on a port of its own, in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.complete)
    runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", server.port)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"

    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def gateway(script: Script, tokenizer: Path, folder: Path, **settings: Any) -> Iterator[str]:
    """Our own gateway over an engine that plays the script; its address."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    chosen = Settings(store=folder / "pir.db", tokenizer=tokenizer, model_name="scripted", port=port, **settings)
    engine = ScriptedEngine(tokenizer, script.play_prompt)
    model = ServedModel("scripted", engine, PromptCodec.load(tokenizer, mode=chosen.mode), folder=tokenizer)
    app = create_app(Gateway(chosen, [model], SqliteStore(chosen.store_path), b"s" * 32))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join(10)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
