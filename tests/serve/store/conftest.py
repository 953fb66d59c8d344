"""An SQLite store, in a file and in memory, with a clock of its own, and suspensions to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pir_serve.store.base import Suspension
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Author, Segment, Trajectory

T0 = 1_800_000_000.0
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


def make_trajectory(question: str = "How many litres were spilled?") -> Trajectory:
    prompt = Segment(Author.TEMPLATE, "<user>A tank leaks.<think>\n", (1, 5, 70_000))
    thought = Segment(Author.MODEL, f"Hm. <asking>{question}</asking>", (9, 8, 7), (-0.5, -1.25, 0.0), (9, 8, 12))
    return Trajectory("pir_s", "pir-tiny").append(prompt, thought).suspend(question)


def make_suspension(sid: str = "pir_1", *, tenant: str = "t", created: float = T0, **fields: object) -> Suspension:
    plain = Suspension(
        sid=sid,
        tenant=tenant,
        scope="",
        model="pir-tiny",
        digest="d",
        trajectory=make_trajectory(),
        request={"temperature": 0.5, "ask": "auto", "stop": ["é"]},
        transcript_key="tk",
        question_key="qk",
        message_keys=("m1", "~l1"),
        system_key="",
        parent=None,
        created=created,
        expires=created + DAY,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["file", "memory", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    if request.param == "postgres":
        made = request.getfixturevalue("postgres").store(max_per_tenant=5, now=clock)
    else:
        made = SqliteStore(tmp_path / "pir.db" if request.param == "file" else ":memory:", max_per_tenant=5, now=clock)
    await made.start()
    yield made
    await made.aclose()
