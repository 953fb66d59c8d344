"""A store in a file, in memory, encrypted and in PostgreSQL, with a clock of its own, and suspensions to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from tests.serve.store.samples import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cap() -> int:
    """How many nodes or responses a tenant may have in the store."""
    return 5


@pytest.fixture(params=["file", "memory", "sealed", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, cap: int) -> AsyncIterator[SqliteStore]:
    if request.param == "postgres":
        made = request.getfixturevalue("postgres").store(max_per_tenant=cap, now=clock)
    else:
        path = ":memory:" if request.param == "memory" else tmp_path / "pir.db"
        sealer = Sealer([b"k" * 32]) if request.param == "sealed" else None
        made = SqliteStore(path, sealer=sealer, max_per_tenant=cap, now=clock)
    await made.start()
    yield made
    await made.aclose()
