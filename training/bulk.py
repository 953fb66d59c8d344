"""Traces and rollouts in bulk: one engine a process, the problems shared out among processes."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from evals.paired import Condition, Outcome, Player, play_all
from evals.problems import Problem, Split
from evals.simulators import Persona, RuleSimulator
from pir_serve.engines.local import LocalEngine
from pir_serve.presets import find_preset
from pir_serve.prompt import PromptCodec
from training.corpus import generate_pairs
from training.entropy import Trace, score_all

T = TypeVar("T")
Job = Callable[[int, int], list[T]]
"""(first index, number) -> that many results' worth of pairs, in order. Must be picklable."""


def shared_out(job: Job[T], n: int, processes: int) -> list[T]:
    """`job` over indices 0 to `n`, in `processes` single-threaded processes; results in order."""
    size = -(-n // max(1, processes))
    starts = range(0, n, max(1, size))
    if processes <= 1:
        return job(0, n)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = pool.map(job, starts, [min(size, n - start) for start in starts])
        return [result for part in parts for result in part]


def scored_pairs(
    folder: Path, families: Sequence[str], split: Split, seed: int, temperature: float, start: int, n: int
) -> list[Trace]:
    """The model's own traces over complete and incomplete problems, alternating."""
    problems = [p for pair in generate_pairs(split, n, seed, start, families=families) for p in pair]

    async def score() -> list[Trace]:
        async with Running(folder) as engine:
            return await score_all(engine, codec_of(folder), problems, temperature=temperature)

    return asyncio.run(score())


def played(
    folder: Path,
    families: Sequence[str],
    split: Split,
    seed: int,
    condition: Condition,
    persona: Persona,
    start: int,
    n: int,
) -> list[Outcome]:
    """Problems of a split, played under one condition against one persona."""
    pairs: Sequence[tuple[Problem, Problem]] = list(generate_pairs(split, n, seed, start, families=families))
    problems = [complete if condition.startswith("complete") else incomplete for complete, incomplete in pairs]

    async def play() -> list[Outcome]:
        async with Running(folder) as engine:
            player = Player(engine, codec_of(folder), RuleSimulator(persona=persona, seed=seed))
            return await play_all(player, problems, condition)

    return asyncio.run(play())


def codec_of(folder: Path) -> PromptCodec:
    """The codec of a stage's folder, which has no pir.json yet."""
    return PromptCodec.load(folder, preset=find_preset("pir-tiny"))


class Running:
    """A local engine for the length of a block."""

    def __init__(self, folder: Path) -> None:
        self._engine = LocalEngine(folder, stream_interval=16)

    async def __aenter__(self) -> LocalEngine:
        await self._engine.start()
        return self._engine

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._engine.aclose()
