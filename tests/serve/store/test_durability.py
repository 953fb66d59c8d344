"""Processes that die, and several that use one file at once."""

from __future__ import annotations

import asyncio
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pir_serve.errors import StoreError
from pir_serve.store.schema import connect, prepare
from pir_serve.store.sqlite import SqliteStore
from tests.serve.store.samples import make_suspension

WRITER = """
import asyncio, dataclasses, pickle, sys
from pir_serve.store.schema import connect, prepare
from pir_serve.store.sqlite import SqliteStore

async def main(path, name, suspension):
    store = SqliteStore(path)
    await store.start()
    for k in range(1_000_000):
        sid = f"pir_{name}_{k}"
        await store.put(dataclasses.replace(suspension, sid=sid))
        print(sid, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], pickle.loads(bytes.fromhex(sys.argv[3]))))
"""


def spawn_writer(path: Path, name: str) -> subprocess.Popen[str]:
    """A process that puts suspensions for ever and prints the id of each when `put` has returned."""
    suspension = pickle.dumps(make_suspension(created=4e9)).hex()
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, suspension], stdout=subprocess.PIPE, text=True
    )


async def test_kill_9_loses_nothing_that_put_has_acknowledged(tmp_path: Path) -> None:
    path, acknowledged = tmp_path / "pir.db", []
    for attempt in range(3):
        with spawn_writer(path, str(attempt)) as process:
            assert process.stdout
            for _ in range(random.randint(4, 12)):
                acknowledged.append(process.stdout.readline().strip())
            process.send_signal(signal.SIGKILL)
            acknowledged += process.stdout.read().split("\n")[:-1]
        assert process.returncode == -signal.SIGKILL
    store = SqliteStore(path)
    await store.start()
    assert len(acknowledged) >= 12
    for sid in acknowledged:
        assert await store.get("t", sid) == make_suspension(sid, created=4e9)
    # The one that was being written when the process died is there whole or not at all.
    assert await store.count() - len(acknowledged) in range(4)
    await store.aclose()


def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """Only a loss of power would show whether it does, so we ask SQLite: 2 is FULL, which WAL needs for that."""
    db = connect(str(tmp_path / "pir.db"), busy_timeout_s=1)
    prepare(db, str(tmp_path / "pir.db"))
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    db.close()


async def test_several_processes_write_one_file_from_the_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "pir.db"
    processes = [spawn_writer(path, str(k)) for k in range(3)]
    seen = []
    for process in processes:
        assert process.stdout
        seen += [process.stdout.readline().strip() for _ in range(20)]
    store = SqliteStore(path)
    await store.start()
    for sid in seen:
        assert (await store.get("t", sid)) is not None
    for process in processes:
        process.kill()
        process.communicate()
    await store.aclose()


async def test_stores_that_start_at_once_on_a_new_file_all_start(tmp_path: Path) -> None:
    for attempt in range(4):
        stores = [SqliteStore(tmp_path / f"{attempt}.db") for _ in range(6)]
        await asyncio.gather(*(store.start() for store in stores))
        await asyncio.gather(*(store.put(make_suspension(f"pir_{k}", created=4e9)) for k, store in enumerate(stores)))
        assert await stores[0].count() == 6
        await asyncio.gather(*(store.aclose() for store in stores))


async def test_the_event_loop_runs_while_a_put_waits_for_a_lock_and_then_the_put_succeeds(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pir.db", busy_timeout_s=10)
    await store.start()
    await store.put(make_suspension("pir_before", created=4e9))
    other = sqlite3.connect(tmp_path / "pir.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(store.put(make_suspension(created=4e9)))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    assert await store.get("t", "pir_before") is not None  # readers do not wait for writers
    other.execute("COMMIT")
    other.close()
    await waiting
    assert await store.get("t", "pir_1") is not None
    await store.aclose()


async def test_a_lock_held_too_long_is_a_store_error_and_the_next_put_works(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pir.db", busy_timeout_s=0.05)
    await store.start()
    other = sqlite3.connect(tmp_path / "pir.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await store.put(make_suspension(created=4e9))
    other.close()
    await store.put(make_suspension(created=4e9))
    assert await store.count() == 1
    await store.aclose()
