"""What the Responses API keeps when the process that writes it dies, and what other processes notice."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from pir_serve.store.responses import ResponseRecord, ResponseStatus
from pir_serve.store.sqlite import SqliteStore
from tests.serve.store.test_responses import events, make_record

GENERATOR = """
import asyncio, pickle, sys
from pir_serve.store.sqlite import SqliteStore

async def main(path, record):
    store = SqliteStore(path)
    await store.start()
    await store.responses.put(record)
    for k in range(1_000_000):
        await store.responses.append(record.tenant, record.id, [str(k).encode()], first=k)
        print(k, flush=True)

asyncio.run(main(sys.argv[1], pickle.loads(bytes.fromhex(sys.argv[2]))))
"""


def spawn_generator(path: Path, record: ResponseRecord) -> subprocess.Popen[str]:
    """A process that appends events for ever and prints the number of each when `append` has returned."""
    argument = pickle.dumps(record).hex()
    return subprocess.Popen([sys.executable, "-c", GENERATOR, str(path), argument], stdout=subprocess.PIPE, text=True)


def signs_of_life(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".live")]


async def test_after_a_kill_9_the_response_is_failed_with_a_reason_and_every_acknowledged_event_is_there(
    tmp_path: Path,
) -> None:
    path, record = tmp_path / "pir.db", make_record(status="in_progress", expires=4e9)
    store = SqliteStore(path)
    await store.start()
    with spawn_generator(path, record) as process:
        assert process.stdout
        acknowledged = [int(process.stdout.readline()) for _ in range(5)]
        other = SqliteStore(path)
        await other.start()  # while it lives, nobody takes its response for lost
        await store.expire(0)
        assert await other.responses.get("t", "resp_1") == record
        process.send_signal(signal.SIGKILL)
        acknowledged += map(int, process.stdout.read().split("\n")[:-1])
    await other.aclose()
    await other.start()
    failed = await other.responses.get("t", "resp_1")
    assert failed and failed.status is ResponseStatus.FAILED and failed.reason and "stopped" in failed.reason
    assert replace(failed, status=record.status, reason=None) == record
    replayed = await other.responses.events("t", "resp_1", limit=10**6)
    assert [number for number, _ in replayed][: len(acknowledged)] == acknowledged
    assert all(event == str(number).encode() for number, event in replayed)
    assert signs_of_life(tmp_path) == []
    await other.aclose()
    await store.aclose()


async def test_a_process_that_goes_on_notices_what_another_has_left_behind(tmp_path: Path) -> None:
    path, record = tmp_path / "pir.db", make_record(status="in_progress", expires=4e9)
    store = SqliteStore(path)
    await store.start()
    with spawn_generator(path, record) as process:
        assert process.stdout
        process.stdout.readline()
        process.kill()
    await store.responses.put(replace(record, id="resp_mine"))
    await store.expire(0)
    theirs, mine = [await store.responses.get("t", name) for name in ("resp_1", "resp_mine")]
    assert theirs and theirs.status is ResponseStatus.FAILED
    assert mine and mine.status is ResponseStatus.IN_PROGRESS
    await store.aclose()


async def test_what_ran_when_the_store_was_closed_is_failed_at_the_next_start(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pir.db")
    await store.start()
    await store.responses.put(make_record(status="queued", expires=4e9))
    await store.responses.put(make_record("resp_2", expires=4e9))
    await store.aclose()
    await store.start()
    found = [await store.responses.get("t", name) for name in ("resp_1", "resp_2")]
    assert [record.status for record in found if record] == [ResponseStatus.FAILED, ResponseStatus.COMPLETED]
    await store.aclose()


async def test_a_cancellation_by_another_process_stops_the_one_that_generates(tmp_path: Path) -> None:
    path, record = tmp_path / "pir.db", make_record(status="in_progress", expires=4e9)
    generating, other = SqliteStore(path), SqliteStore(path)
    await generating.start()
    await other.start()
    assert await generating.responses.put(record)
    assert await other.responses.put(replace(record, status=ResponseStatus.CANCELLED))
    assert not await generating.responses.append("t", "resp_1", events(0), first=0)
    assert not await generating.responses.put(make_record())
    await generating.aclose()
    await other.aclose()
