"""Throughput through the gateway over a real vLLM, beside the same engine direct, in turns:

    python -m benchmarks.real_engine --python VLLM_VENV/bin/python      # starts vLLM on the CPU, with the built-in model
    python -m benchmarks.real_engine --engine-url http://127.0.0.1:8001 --model NAME --tokenizer FOLDER

Direct means: the requests that the gateway sends upstream, sent without it. Both sides get the same complete problems,
greedy, once before anything is timed, so that both find their prompts in the engine's prefix cache.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks.load import BadReply, Call, Reply, closed_loop, percentile, post
from benchmarks.measures import DIRECT_TEXT, GATEWAY_TEXT, SIDES, Side
from benchmarks.processes import Busyness, Started, StartFailed, gateway, page_head, real_engine
from benchmarks.report import Table, spread
from evals.problems import generate
from pir_serve.engines.base import LegRequest, SamplingParams
from pir_serve.engines.vllm import VllmEngine
from pir_serve.markup import TAGS
from pir_serve.prompt import Message, PromptCodec
from pir_serve.settings import BUILTIN_MODEL

_BAR = 0.95
_USAGE = re.compile(rb'"completion_tokens":(\d+)')


@dataclass(frozen=True)
class Load:
    in_flight: int
    count: int
    """Requests a round and side."""
    max_tokens: int
    rounds: int


@dataclass(frozen=True)
class Round:
    """One side's figures in one round."""

    tokens_per_s: float
    first_p50_ms: float
    end_p50_ms: float
    gateway_cpu_s: float
    tokens: int


@dataclass
class Results:
    load: Load
    others_share: float = 0.0
    """Of the machine's CPU time, used by other programs."""
    rounds: dict[Side, list[Round]] = field(default_factory=lambda: {side: [] for side in SIDES})

    def values(self, side: Side, name: str) -> list[float]:
        return [float(getattr(r, name)) for r in self.rounds[side]]

    @property
    def ratio(self) -> list[float]:
        """Throughput through the gateway to that of the engine direct, round by round."""
        pairs = zip(self.values("gateway", "tokens_per_s"), self.values("direct", "tokens_per_s"), strict=True)
        return [through / direct for through, direct in pairs]


def calls(url: str, engine: VllmEngine, codec: PromptCodec, load: Load) -> dict[Side, list[Call]]:
    """The same problems, put to the gateway at `url` and as it puts them to the engine."""
    out: dict[Side, list[Call]] = {side: [] for side in SIDES}
    for problem in generate("heldout_numbers", load.count, seed=1, mode="complete"):
        messages = [Message("user", problem.shown)]
        body = {
            "model": engine.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "temperature": 0,
            "top_p": 1,
            "max_tokens": load.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        out["gateway"].append(Call(post(url, "/v1/chat/completions", body), GATEWAY_TEXT, b"data: [DONE]"))
        leg = LegRequest(
            [i for segment in codec.encode_prompt(messages) for i in segment.token_ids],
            load.max_tokens,
            SamplingParams(temperature=0.0),
            stop=(TAGS.ask_close,),
            stop_token_ids=codec.ask_stop_ids,
            logprobs=False,
            tenant="direct",
        )
        raw = post(engine.url, "/v1/completions", engine.body(leg))
        out["direct"].append(Call(raw, DIRECT_TEXT, b"data: [DONE]"))
    return out


async def measure(served: Started, engine_url: str, model: str, tokenizer: Path, load: Load) -> Results:
    """Raises: BadReply, EngineError."""
    engine = VllmEngine(engine_url, model)
    await engine.start()
    sides = calls(served.url, engine, PromptCodec.load(tokenizer), load)
    await engine.aclose()
    urls: dict[Side, str] = {"gateway": served.url, "direct": engine.url}
    results = Results(load)
    for side in SIDES:
        _tell(f"warming up, {side}")
        await _round(urls[side], sides[side], load, served)
    for turn in range(load.rounds):
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            _tell(f"round {turn + 1} of {load.rounds}, {side}")
            results.rounds[side].append(await _round(urls[side], sides[side], load, served))
    return results


async def _round(url: str, some: Sequence[Call], load: Load, served: Started) -> Round:
    began, cpu_s = time.perf_counter(), served.cpu_s()
    replies = await closed_loop(url, some.__getitem__, count=len(some), in_flight=load.in_flight)
    wall_s = time.perf_counter() - began
    tokens = sum(map(_tokens, replies))
    return Round(
        tokens_per_s=tokens / wall_s,
        first_p50_ms=percentile([r.first_ms for r in replies], 50),
        end_p50_ms=percentile([r.end_ms for r in replies], 50),
        gateway_cpu_s=served.cpu_s() - cpu_s,
        tokens=tokens,
    )


def _tokens(reply: Reply) -> int:
    """Raises: BadReply, if it has no usage."""
    found = _USAGE.findall(reply.body)
    if not found:
        raise BadReply(f"no usage in it: {reply.body[-300:]!r}")
    return int(found[-1])


def page(results: Results) -> str:
    load = results.load
    head = ["figure", "direct", "gateway", "gateway / direct"]
    lines = [
        ["tokens/s", *(spread(results.values(side, "tokens_per_s"), 0) for side in SIDES), spread(results.ratio, 3)]
    ]
    for name, words in (("first_p50_ms", "first text p50 ms"), ("end_p50_ms", "whole reply p50 ms")):
        sides = [results.values(side, name) for side in SIDES]
        ratios = [g / d for d, g in zip(*sides, strict=True)]
        lines.append([words, *(spread(values, 1) for values in sides), spread(ratios, 3)])
    cpu = [1e6 * r.gateway_cpu_s / r.tokens for r in results.rounds["gateway"]]
    lines.append(["gateway's CPU us a token", "-", spread(cpu, 1), "-"])
    ratio = statistics.median(results.ratio)
    verdict = "held" if ratio >= _BAR else "**not held**"
    return "\n\n".join(
        [
            f"Real vLLM, {load.in_flight} in flight, {load.count} complete problems a round of at most {load.max_tokens} "
            f"tokens, {load.rounds} rounds, direct and gateway in turns. Median (lowest to highest). "
            "Programs other than client and gateway (vLLM itself, mostly) used "
            f"{100 * results.others_share:.0f} % of the machine.",
            str(Table(head, lines)),
            f"Throughput through the gateway / direct: {ratio:.3f}; the bar is >= {_BAR}: {verdict}.",
        ]
    )


@contextlib.contextmanager
def _engine(args: argparse.Namespace) -> Iterator[str]:
    """Address of the engine that was given, or is started. Raises: StartFailed."""
    if args.engine_url:
        yield args.engine_url
        return
    _tell("starting vLLM, which takes a minute or more")
    with real_engine("vllm", args.python, args.tokenizer, args.model) as started:
        yield started.url


def _tell(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--engine-url", help="a vLLM that runs already")
    where.add_argument(
        "--python", help="of a venv that has vLLM's CPU build: one is started with the model in --tokenizer"
    )
    parser.add_argument("--model", default="tiny", help="name under which it serves the model; default: tiny")
    parser.add_argument("--tokenizer", type=Path, default=BUILTIN_MODEL, help="folder of the model; default: built in")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--count", type=int, default=96, help="requests a round and side")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there as well")
    args = parser.parse_args()
    head = page_head("Throughput over a real vLLM", "real_engine")
    load = Load(args.in_flight, args.count, args.max_tokens, args.rounds)
    busyness = Busyness()
    try:
        with _engine(args) as url, gateway(url, args.tokenizer, (), args.model) as served:
            results = uvloop.run(measure(served, url, args.model, args.tokenizer, load))
            busyness.add(served)
    except StartFailed as error:
        sys.exit(str(error))
    results.others_share = busyness.others_share()
    text = head + "\n" + page(results)
    print(text)
    if args.write is not None:
        args.write.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
