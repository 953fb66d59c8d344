"""A file that an earlier version wrote: everything in it is found again, and a failed upgrade leaves it as it was."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from pir_serve.errors import StoreError
from pir_serve.store import codec, schema
from pir_serve.store.base import Suspension
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Author, Segment, Status, Trajectory

T0 = 1_800_000_000.0
KEY = b"k" * 32
COLUMNS_1 = (
    "tenant", "sid", "transcript_key", "question_key", "system_key", "scope", "model", "digest", "parent", "created",
    "expires", "session", "payload",
)  # fmt: skip
"""What the first version wrote."""


def make_suspension(k: int, **fields: object) -> Suspension:
    prompt = Segment(Author.USER, f"Tank {k} leaks.", (1, 2, k))
    thought = Segment(Author.MODEL, "<asking>How much?</asking>", (3, 4), (-0.5, -1.5), (3, 5))
    plain = Suspension(
        sid=f"pir_{k}",
        tenant=f"t{k % 2}",
        scope="chat" if k % 3 else "",
        model="pir-tiny",
        digest="d",
        trajectory=Trajectory(f"s_{k // 4}", "pir-tiny", (prompt, thought)).suspend("How much?"),
        request={"ask": "auto", "stop": ["é"]},
        transcript_key=f"tk{k}",
        question_key="qk",
        message_keys=("m", "~l"),
        system_key="",
        parent=f"pir_{k - 2}" if k > 1 else None,
        created=T0 + k,
        expires=T0 + 1000 + k,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def write_version_1(path: Path, suspensions: list[Suspension], sealer: Sealer | None = None) -> None:
    """The file as the first version left it, with `suspensions` in it."""
    connection = sqlite3.connect(path, isolation_level=None)
    db = Database(connection)
    schema.MIGRATIONS[0](db)
    db.enable_wal()
    db.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    db.execute("PRAGMA user_version=1")
    for s in suspensions:
        payload = codec.dump(s.trajectory, {"request": s.request, "message_keys": s.message_keys})
        if sealer is not None:
            payload = b"PE" + sealer.wrap(payload, f"pir row\0{s.tenant}\0{s.sid}".encode())
        row = (*(getattr(s, column) for column in COLUMNS_1[:-2]), s.trajectory.session, payload)
        db.execute(f"INSERT INTO suspensions ({', '.join(COLUMNS_1)}) VALUES ({', '.join('?' * len(row))})", row)
    db.close()


@pytest.mark.parametrize("sealer", [None, Sealer([KEY])], ids=["plain", "sealed"])
async def test_everything_in_a_file_of_version_1_is_found_in_every_way(tmp_path: Path, sealer: Sealer | None) -> None:
    suspensions = [make_suspension(k) for k in range(20)]
    write_version_1(tmp_path / "pir.db", suspensions, sealer)
    store = SqliteStore(tmp_path / "pir.db", sealer=sealer, now=lambda: T0)
    for _ in range(2):  # the second start finds nothing to do
        await store.start()
        for s in suspensions:
            assert await store.get(s.tenant, s.sid) == s
            assert await store.find_by_transcript(s.tenant, s.transcript_key) == [s]
        newest_first = tuple(s for s in reversed(suspensions) if s.tenant == "t1")
        assert await store.find_by_question("t1", "qk") == list(newest_first)
        assert (await store.list("t1")).items == newest_first
        assert await store.count(status=Status.AWAITING_USER) == 20
        page = await store.sessions("t1", search="tank 1")
        assert [(s.session, s.title, s.num_waiting) for s in page.items] == [
            ("s_4", "Tank 19 leaks.", 2), ("s_3", "Tank 15 leaks.", 2), ("s_2", "Tank 11 leaks.", 2),
            ("s_0", "Tank 3 leaks.", 2),
        ]  # fmt: skip
        await store.aclose()


async def test_an_upgraded_file_is_written_and_expired_like_a_new_one(tmp_path: Path) -> None:
    old, new = make_suspension(0), make_suspension(2)
    write_version_1(tmp_path / "pir.db", [old])
    store = SqliteStore(tmp_path / "pir.db", max_per_tenant=1, now=lambda: T0)
    await store.start()
    await store.put(old)  # a retry
    with pytest.raises(StoreError, match="pir_0"):
        await store.put(replace(old, scope="another"))
    await store.put(new)
    assert (await store.list("t0")).items == (new,)
    assert await store.expire(T0 + 2000) == 1
    await store.aclose()


async def test_an_upgrade_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Database) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    path, suspensions = tmp_path / "pir.db", [make_suspension(k) for k in range(3)]
    write_version_1(path, suspensions)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, fail))
        with pytest.raises(StoreError, match="disk is full"):
            await SqliteStore(path, now=lambda: T0).start()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (1,)
    assert raw.execute("SELECT COUNT(*) FROM suspensions").fetchone() == (3,)
    raw.close()
    store = SqliteStore(path, now=lambda: T0)
    await store.start()
    assert [await store.get(s.tenant, s.sid) for s in suspensions] == suspensions
    await store.aclose()


def test_processes_that_upgrade_one_file_at_once_all_find_everything(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pir_serve.store.sqlite import SqliteStore\n"
        "async def main():\n"
        "    store = SqliteStore(sys.argv[1], now=lambda: 1.8e9)\n"
        "    await store.start(); print(await store.count()); await store.aclose()\n"
        "print('ready', flush=True); sys.stdin.readline(); asyncio.run(main())"
    )
    write_version_1(tmp_path / "pir.db", [make_suspension(k) for k in range(300)])
    command = [sys.executable, "-c", code, str(tmp_path / "pir.db")]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout
        process.stdout.readline()
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0].strip() for process in processes] == ["300"] * 3
