"""Rollouts that interleave against batches that go turn by turn: `python -m benchmarks.rollout`.

Both play the same problems with the same seeds, engine and number of slots. The baseline is a fair one: all users of a batch
are asked at once, and the batch goes on when the last of them has answered. Interleaved, a slot whose user is being asked is
taken by another trajectory.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.processes import page_head
from benchmarks.report import Table, spread
from evals.problems import make_pair
from evals.rows import Row
from evals.simulators import Exchange, Intent, Response, RuleSimulator
from pir_serve.engines.base import LegRequest, TokenChunk
from pir_serve.settings import BUILTIN_MODEL
from training.bulk import codec_of
from training.engines import InProcessEngine
from training.rollout import Job, Rollout, Rollouts


class Turns(InProcessEngine):
    """Knows when no leg is running: then a turn of the batch is over."""

    def __init__(self, model_dir: Path, *, slots: int) -> None:
        super().__init__(model_dir, slots=slots)
        self.in_flight = 0
        self.turn_is_over = asyncio.Event()

    async def generate(self, request: LegRequest) -> AsyncGenerator[TokenChunk, None]:
        self.in_flight += 1
        self.turn_is_over.clear()
        try:
            async with aclosing(super().generate(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self.turn_is_over.set()


@dataclass
class SlowUser:
    """The rule user after a while; in batches, only once the whole batch has come to its asks or ends."""

    after_s: float
    engine: Turns | None = None

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        if self.engine is not None:
            await self.engine.turn_is_over.wait()
        await asyncio.sleep(self.after_s)
        return RuleSimulator().respond(ask, intent=intent, history=history)

    def describe(self) -> dict[str, object]:
        return {"name": "slow rule", "after_s": self.after_s}


@dataclass(frozen=True)
class Timed:
    wall_s: float
    cpu_s: float
    tokens: int
    asks: int


def play(slots: int, n: int, after_s: float, *, in_batches: bool) -> Timed:
    """One round. The trajectories of both ways are the same up to rounding of float32."""
    engine = Turns(BUILTIN_MODEL, slots=slots)
    engine.load_from(BUILTIN_MODEL)
    rollouts = Rollouts(engine, codec_of(BUILTIN_MODEL))
    user = SlowUser(after_s, engine if in_batches else None)
    jobs = [Job(Row.of(make_pair("validation", 5, k)[1], "bench"), user, seed=k) for k in range(n)]
    size = slots if in_batches else n
    wall, cpu = time.monotonic(), time.process_time()
    made: list[Rollout] = []
    for start in range(0, n, size):
        made += rollouts.run(jobs[start : start + size])
    timed = Timed(
        time.monotonic() - wall,
        time.process_time() - cpu,
        sum(rollout.trajectory.num_model_tokens for rollout in made),
        sum(rollout.num_asks for rollout in made),
    )
    rollouts.close()
    return timed


def compare(slots: int, n: int, after_s: float, rounds: int) -> list[str]:
    """A table's row: both walls, their ratio, tokens a CPU second; medians over rounds, the two taking turns."""
    turns, mixed = [], []
    for _ in range(rounds):
        turns.append(play(slots, n, after_s, in_batches=True))
        mixed.append(play(slots, n, after_s, in_batches=False))
    ratios = [a.wall_s / b.wall_s for a, b in zip(turns, mixed, strict=True)]
    return [
        f"{after_s:g} s",
        spread([t.wall_s for t in turns], 1),
        spread([t.wall_s for t in mixed], 1),
        spread(ratios),
        f"{statistics.median(t.tokens / t.cpu_s for t in turns):,.0f}",
        f"{statistics.median(t.tokens / t.cpu_s for t in mixed):,.0f}",
    ]


@click.command()
@click.option("--trajectories", type=click.IntRange(1), default=128, show_default=True)
@click.option("--slots", type=click.IntRange(1), default=16, show_default=True)
@click.option("--latencies", default="0,0.4", show_default=True, help="Seconds that the user takes, comma-separated.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
def main(trajectories: int, slots: int, latencies: str, rounds: int) -> None:
    """Compare interleaved rollouts with turn-by-turn batches, on the built-in model.

    \b
    python -m benchmarks.rollout
    python -m benchmarks.rollout --slots 32 --latencies 0,0.2,1 --rounds 3
    """
    try:
        waits = [float(text) for text in latencies.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{latencies!r} is no list of seconds", param_hint="--latencies") from error
    import torch

    torch.set_num_threads(1)
    page = page_head("Rollouts that interleave", "rollout")
    head = ["user takes", "turn by turn, s", "interleaved, s", "ratio", "tok/CPU-s", "tok/CPU-s interleaved"]
    table = Table(head, [compare(slots, trajectories, wait, rounds) for wait in waits])
    click.echo(page)
    click.echo(f"{trajectories} trajectories, {slots} slots, medians of {rounds} rounds (lowest to highest).\n")
    click.echo(table)


if __name__ == "__main__":
    main()
