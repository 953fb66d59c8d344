"""What a resume costs over a real engine, beside the other ways to go on: `python -m benchmarks.resume`.

    python -m benchmarks.resume --vllm VLLM_VENV/bin/python --sglang SGLANG_VENV/bin/python

For reasoning of several lengths, sampled by the engine itself, time to the first text and prompt tokens found in the
engine's prefix cache, for
- resume: through the gateway, which finds the suspension in its store and sends the exact ids;
- direct: the same ids sent to the engine by the client itself: what no gateway can beat;
- text: the same trajectory as text, encoded anew by the engine, as clients do that keep text;
- cold: the exact ids on an engine whose cache has none of them;
- starting over: the reasoning generated again, for those who kept nothing.
Every try has a conversation of its own, whose past the engine has just read (but for cold). The engines run on the CPU,
with the built-in model stretched to a longer context: what it writes makes no sense, what it costs does. Ratios, not
times, are worth comparing. About ten minutes an engine.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.load import Call, Reply, closed_loop, post
from benchmarks.processes import Started, gateway, page_head, real_engine
from benchmarks.report import Table, spread
from pir_serve.engines.base import LegRequest, SamplingParams
from pir_serve.engines.completions import CompletionsEngine
from pir_serve.engines.sglang import SglangEngine
from pir_serve.engines.vllm import VllmEngine
from pir_serve.markup import render_ask
from pir_serve.prompt import Message, PromptCodec
from pir_serve.resume import Keys
from pir_serve.settings import BUILTIN_MODEL
from pir_serve.store.base import Suspension
from pir_serve.store.sealed import load_or_create_secret
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Author, Segment, Trajectory

WORDS = """*Resume*: the answer to a question that the gateway keeps, sent to the gateway. *Direct*: the same ids sent to the
engine, which still has their prefix. *Text*: the trajectory as text, tokenized anew, as the published demo sends it.
*Cold*: the same ids, with nothing cached. *Starting over*: the reasoning generated again. Both engines serve the
built-in model (stretched to long contexts) on the CPU, so that the gateway's own 2 ms stand against the work of a
very small model: the ratios to direct are the worst case.
"""
MODEL = "stretched"
CONTEXT = 5120
_TENANT = "local"
_QUESTION = "What does one pen cost?"
_RESPONSE = "One costs 2 dollars."
_WAYS = ("resume", "direct", "text", "cold")
_SHOWN = rb'[^"\\\s]'
"""Beginning of the first text that a client can see: the gateway leaves out the blanks before it."""
_FIRST = {
    "direct": re.compile(rb'"text":"(?:\\n| )*' + _SHOWN),
    "resume": re.compile(rb'"delta":\{"(?:reasoning_)?content":"' + _SHOWN),
}
_CACHED = re.compile(rb'"cached_tokens":(\d+)')
_PROMPT = re.compile(rb'"prompt_tokens":(\d+)')


@dataclass
class Measured:
    """One length of reasoning on one engine."""

    tokens: int
    again_s: float
    """To generate it."""
    first_ms: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in _WAYS})
    cached: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Cached and all tokens of the prompt, of the last try."""


class Bench:
    """One engine, and a gateway in front of it whose store we write into."""

    def __init__(self, engine: CompletionsEngine, served: Started, folder: Path, secret: bytes) -> None:
        self.engine = engine
        self.served = served
        self.codec = PromptCodec.load(BUILTIN_MODEL)
        self.digest = hashlib.sha256(f"{MODEL}\0{self.codec.digest}".encode()).hexdigest()[:32]
        self._store = SqliteStore(folder / "pir.db")
        self._keys = Keys(secret)

    async def run(self, lengths: list[int], tries: int) -> list[Measured]:
        await self.engine.start()
        await self._store.start()
        try:
            return [await self._measure(length, tries) for length in lengths]
        finally:
            await self._store.aclose()
            await self.engine.aclose()

    async def _measure(self, length: int, tries: int) -> Measured:
        began = time.perf_counter()
        sampled = await self._sample(length)
        out = Measured(length, time.perf_counter() - began)
        for turn in range(-1, tries):  # the first is to warm up
            print(f"{self.engine.kind}: {length} tokens, try {turn + 1} of {tries}", file=sys.stderr, flush=True)
            for way in _WAYS if turn % 2 else _WAYS[::-1]:
                reply = await self._go_on(way, sampled)
                if turn >= 0:
                    out.first_ms[way].append(reply.first_ms)
                cached = _CACHED.findall(reply.body)
                out.cached[way] = (int(cached[-1]) if cached else 0, int(_PROMPT.findall(reply.body)[-1]))
        return out

    async def _sample(self, length: int) -> Segment:
        """Reasoning as the model samples it: never a tag, never its end."""
        prompt = self._prompt("Sample")
        ids = [i for segment in prompt for i in segment.token_ids]
        vocabulary = range(self.codec.vocab_size)
        never = {*self.codec.eos_ids, *(i for i in vocabulary if "<" in self.codec.decode([i]))}
        leg = LegRequest(ids, length, SamplingParams(seed=7), logprobs=False, tenant=_TENANT)
        body = self.engine.body(leg) | {"logit_bias": {str(i): -100 for i in never}}
        call = Call(post(self.engine.url, "/v1/completions", body), _FIRST["direct"], b"[DONE]")
        [reply] = await closed_loop(self.engine.url, lambda _: call, count=1, in_flight=1)
        events = [json.loads(line[6:]) for line in reply.body.splitlines() if line.startswith(b"data: {")]
        choices = [choice for event in events for choice in event["choices"]]
        sampled = tuple(i for choice in choices for i in choice.get("token_ids") or ())
        assert len(sampled) == length, f"{len(sampled)} tokens instead of {length}"
        return Segment(Author.MODEL, "".join(choice["text"] for choice in choices), sampled)

    async def _go_on(self, way: str, sampled: Segment) -> Reply:
        """In a conversation of its own."""
        ask = self._encode(render_ask(_QUESTION))
        asked = Segment(Author.MODEL, sampled.text + ask.text, (*sampled.token_ids, *ask.token_ids))
        prompt = self._prompt(secrets.token_hex(8))
        trajectory = Trajectory(secrets.token_hex(8), MODEL, (*prompt, asked)).suspend(_QUESTION)
        if way != "cold":
            await self._read(list(trajectory.token_ids))
        if way == "resume":
            return await self._resume(trajectory)
        whole = trajectory.respond(_RESPONSE, self.codec.encode_response(_RESPONSE), by=Author.USER)
        leg = LegRequest(list(whole.token_ids), 8, SamplingParams(temperature=0.0), logprobs=False, tenant=_TENANT)
        body = self.engine.body(leg)
        if way == "text":
            body["prompt"] = "".join(segment.text for segment in whole.segments)
            body["add_special_tokens"] = False
        call = Call(post(self.engine.url, "/v1/completions", body), _FIRST["direct"], b"[DONE]")
        [reply] = await closed_loop(self.engine.url, lambda _: call, count=1, in_flight=1)
        return reply

    async def _resume(self, trajectory: Trajectory) -> Reply:
        now = time.time()
        made = self._keys.for_suspension([("user", "unlike all others " + trajectory.session)], _QUESTION)
        suspension = Suspension(
            sid=f"pir_{trajectory.session}",
            tenant=_TENANT,
            scope="",
            model=MODEL,
            digest=self.digest,
            trajectory=trajectory,
            request={"temperature": 0.0, "top_p": 1.0},
            parent=None,
            created=now,
            expires=now + 600,
            **made._asdict(),
        )
        await self._store.put(suspension)
        body: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": _RESPONSE}],
            "pir": {"session": suspension.sid},
            "max_tokens": 8,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        call = Call(post(self.served.url, "/v1/chat/completions", body), _FIRST["resume"], b"[DONE]")
        [reply] = await closed_loop(self.served.url, lambda _: call, count=1, in_flight=1)
        return reply

    async def _read(self, ids: list[int]) -> None:
        """Let the engine read them, as it has when it wrote them."""
        leg = LegRequest(ids, 1, SamplingParams(temperature=0.0), logprobs=False, tenant=_TENANT)
        async with contextlib.aclosing(self.engine.generate(leg)) as chunks:
            async for _ in chunks:
                pass

    def _prompt(self, about: str) -> tuple[Segment, ...]:
        return self.codec.encode_prompt([Message("user", f"{about}: how much does Nora pay for six pens in all?")])

    def _encode(self, text: str) -> Segment:
        return self.codec.encode_model(text)


def table(kind: str, measured: list[Measured]) -> Table:
    head = [f"{kind}: tokens of reasoning", "way", "first text ms", "/ direct", "cached / prompt tokens"]
    lines = []
    for one in measured:
        for way in _WAYS:
            ratios = [a / b for a, b in zip(one.first_ms[way], one.first_ms["direct"], strict=True)]
            cached = "{:,} / {:,}".format(*one.cached[way])
            lines.append([f"{one.tokens:,}", way, spread(one.first_ms[way], 1), spread(ratios), cached])
        lines.append([f"{one.tokens:,}", "starting over", f"{1e3 * one.again_s:,.0f}", "-", "-"])
    return Table(head, lines)


@contextlib.contextmanager
def stretched_model() -> Iterator[Path]:
    """The built-in model with room for `CONTEXT` tokens."""
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where) / MODEL
        shutil.copytree(BUILTIN_MODEL, folder)
        config = json.loads((folder / "config.json").read_text())
        config["max_position_embeddings"] = CONTEXT
        (folder / "config.json").write_text(json.dumps(config))
        yield folder


def measure(kind: str, python: str, model: Path, lengths: list[int], tries: int) -> list[Measured]:
    print(f"starting {kind}, which takes a minute or more", file=sys.stderr, flush=True)
    with (
        tempfile.TemporaryDirectory() as where,
        real_engine(kind, python, model, MODEL, CONTEXT) as server,
    ):
        folder = Path(where)
        secret = load_or_create_secret(folder / "pir.db.secret")
        dialect = VllmEngine if kind == "vllm" else SglangEngine
        vocab_size = PromptCodec.load(BUILTIN_MODEL).vocab_size
        cache_key = hashlib.sha256(b"cache" + secret).digest()  # the gateway's own, for the same cache partition
        engine = dialect(server.url, MODEL, vocab_size=vocab_size, cache_key=cache_key)
        with gateway(server.url, BUILTIN_MODEL, (), MODEL, kind=kind, folder=folder) as served:
            return uvloop.run(Bench(engine, served, folder, secret).run(lengths, tries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", metavar="PYTHON", help="of a venv that has vLLM's CPU build")
    parser.add_argument("--sglang", metavar="PYTHON", help="of a venv that has SGLang for the CPU")
    parser.add_argument("--tokens", type=int, nargs="+", default=[300, 1500, 4000], help="of reasoning")
    parser.add_argument("--tries", type=int, default=9)
    args = parser.parse_args()
    print(page_head("Resuming a paused reasoning", "resume"), WORDS, sep="\n", flush=True)
    with stretched_model() as model:
        for kind in ("vllm", "sglang"):
            if python := getattr(args, kind):
                print(table(kind, measure(kind, python, model, args.tokens, args.tries)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
