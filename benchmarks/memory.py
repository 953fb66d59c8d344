"""Whether the gateway's memory grows with the requests that it has served: `python -m benchmarks.memory`.

50,000 streamed replies, each tenth a question that nobody answers, over the mock engine, with a store that keeps 1,000 of
a tenant. After a warm-up memory is read every few thousand requests, and a line is laid through it. Bar: less than 0.1 KB
a request. Takes about three minutes on an idle machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import uvloop

from benchmarks.load import Call, closed_loop
from benchmarks.measures import Desk, chat
from benchmarks.mock_script import Plan
from benchmarks.processes import Started, gateway, mock_engine, page_head
from benchmarks.report import Table
from pir_serve.settings import BUILTIN_MODEL

_BAR_KB = 0.1
_IN_FLIGHT = 32
_EACH_TENTH = 10
_MOST_STORED = 1000
_WARM_UP = 15_000
"""Requests until the store is full, and the caches of the database and the allocator with it."""


async def measure(served: Started, engine: Started, requests: int, steps: int, warm_up: int) -> list[tuple[int, float]]:
    """(requests served, memory in KB), from the end of the warm-up on."""
    desk, plan = Desk(served, engine, 1), Plan(48)
    out: list[tuple[int, float]] = []
    done = 0
    for step in range(-1, steps):
        count = warm_up if step < 0 else requests // steps
        await _serve(desk, plan, done, count)
        done += count
        out.append((done, served.rss_bytes() / 1024))
        print(f"{done:,} requests: {out[-1][1] / 1024:.1f} MB", file=sys.stderr, flush=True)
    return out


async def _serve(desk: Desk, plan: Plan, first: int, count: int) -> None:
    url, asking = desk.gateway.url, count // _EACH_TENTH

    def call(k: int, asks: bool) -> Call:
        return chat(url, first + k, stream=True, asks=asks)

    await desk.bench(plan)
    await closed_loop(url, lambda k: call(k, False), count=count - asking, in_flight=_IN_FLIGHT)
    await desk.bench(dataclasses.replace(plan, asks=True))
    await closed_loop(url, lambda k: call(count - asking + k, True), count=asking, in_flight=_IN_FLIGHT)


def slope(points: list[tuple[int, float]]) -> float:
    """Least squares."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return over / sum((x - mean_x) ** 2 for x, _ in points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warm-up", type=int, default=_WARM_UP, help="requests before the first reading")
    parser.add_argument("--tokenizer", type=Path, default=BUILTIN_MODEL)
    args = parser.parse_args()
    variables = {"PIR_MAX_STORED": str(_MOST_STORED)}
    with (
        mock_engine(args.tokenizer, ()) as engine,
        gateway(engine.url, args.tokenizer, (), variables=variables) as served,
    ):
        points = uvloop.run(measure(served, engine, args.requests, args.steps, args.warm_up))
    print(page_head("Memory over many requests", "memory"))
    print(Table(["requests", "memory MB"], [[f"{x:,}", f"{y / 1024:.1f}"] for x, y in points]))
    found = slope(points)
    print(f"\n{found:.3f} KB a request; the bar is < {_BAR_KB}: {'held' if found < _BAR_KB else '**not held**'}.")


if __name__ == "__main__":
    main()
