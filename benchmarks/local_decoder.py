"""Own decoder against transformers' continuous batching, for the embedded engine, on ragged multi-turn traffic.

    python -m benchmarks.local_decoder [--model-dir DIR] [--users 1 8 32] [--turns 3] [--pause 0.3] [--json FILE]

Each user sends a prompt, reads a leg, pauses (as a person reading a question does), answers, and goes on with all ids
so far. Both sides get the same prompts, lengths and pauses, one thread, one process, their own prefix reuse. Beside
wall-clock figures stands tokens per CPU-second of the whole process, which a busy machine distorts less.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import math
import random
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pir_serve.engines.base import LegRequest, SamplingParams
from pir_serve.engines.local import LocalEngine
from pir_serve.settings import BUILTIN_MODEL

LegFunction = Callable[[list[int], int], AsyncGenerator[list[int], None]]
"""(all ids so far, how many tokens) -> the new ids, as they come."""


@dataclass
class Figures:
    engine: str
    users: int
    tokens: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    first_ms: list[float] = field(default_factory=list)
    resume_ms: list[float] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "users": self.users,
            "tok/s": round(self.tokens / self.wall_s),
            "tok/cpu-s": round(self.tokens / self.cpu_s),
            "first token ms p50": round(statistics.median(self.first_ms), 1),
            "resume ms p50": round(statistics.median(self.resume_ms), 1),
            "resume ms p95": round(sorted(self.resume_ms)[math.ceil(0.95 * (len(self.resume_ms) - 1))], 1),
        }


@dataclass(frozen=True)
class Traffic:
    users: int
    turns: int
    pause_s: float
    vocab: int
    sessions: int = 2
    """Conversations of each user, one after another."""


async def play(name: str, leg: LegFunction, traffic: Traffic) -> Figures:
    figures = Figures(name, traffic.users)
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_user(k, leg, traffic, figures) for k in range(traffic.users)))
    figures.wall_s, figures.cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return figures


async def _user(number: int, leg: LegFunction, traffic: Traffic, figures: Figures) -> None:
    draw = random.Random(number)
    await asyncio.sleep(draw.random() * traffic.pause_s)
    for _ in range(traffic.sessions):
        ids = [draw.randrange(traffic.vocab) for _ in range(draw.randint(25, 120))]
        for turn in range(traffic.turns):
            began, wanted = time.perf_counter(), draw.randint(20, 90)
            written: list[int] = []
            async for new in leg(ids, wanted):
                if not written:
                    spent_ms = 1e3 * (time.perf_counter() - began)
                    (figures.resume_ms if turn else figures.first_ms).append(spent_ms)
                written += new
            figures.tokens += len(written)
            ids = [*ids, *written, *(draw.randrange(traffic.vocab) for _ in range(draw.randint(5, 25)))]
            await asyncio.sleep(traffic.pause_s * draw.expovariate(1))


@contextlib.asynccontextmanager
async def own_decoder(model_dir: Path) -> AsyncGenerator[LegFunction, None]:
    engine = LocalEngine(model_dir)
    await engine.start()

    async def leg(ids: list[int], wanted: int) -> AsyncGenerator[list[int], None]:
        async for chunk in engine.generate(LegRequest(ids, wanted, SamplingParams(temperature=0.0))):
            yield list(chunk.token_ids)

    try:
        yield leg
    finally:
        await engine.aclose()


@contextlib.asynccontextmanager
async def transformers_manager(model_dir: Path) -> AsyncGenerator[LegFunction, None]:
    import torch
    from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

    torch.set_num_threads(1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="sdpa").eval()
    manager = model.init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, max_new_tokens=100, eos_token_id=-1),
        # Small pages, or prefixes would be shared in steps of 256; sizes fixed, or it takes 60 % of the memory.
        continuous_batching_config=ContinuousBatchingConfig(page_size=16, num_blocks=2048, max_batch_tokens=512),
    )
    manager.start()

    async def leg(ids: list[int], wanted: int) -> AsyncGenerator[list[int], None]:
        arrived: asyncio.Queue[Any] = asyncio.Queue()
        name = f"r{random.getrandbits(60)}"
        manager.register_result_handler(name, arrived.put_nowait)
        manager.add_request(ids, request_id=name, max_new_tokens=wanted, streaming=True)
        seen = 0
        while seen < wanted:
            result = await arrived.get()
            if result.error:
                raise RuntimeError(result.error)
            new = list(result.generated_tokens[seen:])
            seen += len(new)
            yield new

    try:
        yield leg
    finally:
        await asyncio.to_thread(manager.stop, block=True)


async def run(model_dir: Path, users: list[int], turns: int, pause_s: float) -> list[Figures]:
    vocab = json.loads((model_dir / "config.json").read_text())["vocab_size"]
    results = []
    for name, make in (("own decoder", own_decoder), ("transformers manager", transformers_manager)):
        async with make(model_dir) as leg:
            await play(name, leg, Traffic(2, 2, 0.05, vocab, sessions=1))  # warm-up
            for number in users:
                results.append(await play(name, leg, Traffic(number, turns, pause_s, vocab)))
                print("  ".join(f"{key}: {value}" for key, value in results[-1].row().items()), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model-dir", type=Path, default=BUILTIN_MODEL, help="a Llama checkpoint; default: the built-in"
    )
    parser.add_argument("--users", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.3, help="mean pause before an answer, seconds")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    if args.turns < 2:
        parser.error("--turns: 2 or more, as what is measured is resuming too")
    results = asyncio.run(run(args.model_dir, args.users, args.turns, args.pause))
    if args.json:
        args.json.write_text(json.dumps([asdict(figures) | figures.row() for figures in results], indent=1))


if __name__ == "__main__":
    main()
