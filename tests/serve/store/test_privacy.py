"""What others on the machine can read: nothing without the file's owner, nor, with a key, without the key."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pir_serve.errors import StoreError
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from tests.serve.store.samples import Clock, make_suspension


async def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new" / "pir.db")
    await store.start()
    await store.put(make_suspension())
    assert {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "new").iterdir()} == {
        "pir.db": 0o600,
        "pir.db-wal": 0o600,
        "pir.db-shm": 0o600,
    }
    await store.aclose()


async def test_what_is_written_with_a_key_is_read_only_with_it(tmp_path: Path, clock: Clock) -> None:
    path, key = tmp_path / "pir.db", b"k" * 32
    store = SqliteStore(path, sealer=Sealer([key]), now=clock)
    await store.start()
    suspension = make_suspension()
    await store.put(suspension)
    assert await store.get("t", "pir_1") == suspension
    await store.aclose()

    for sealer in (None, Sealer([b"x" * 32])):
        store = SqliteStore(path, sealer=sealer, now=clock)
        await store.start()
        with pytest.raises(StoreError, match="encrypted"):
            await store.get("t", "pir_1")
        await store.aclose()

    rotated = SqliteStore(path, sealer=Sealer([b"n" * 32, key]), now=clock)
    await rotated.start()
    assert await rotated.get("t", "pir_1") == suspension
    await rotated.aclose()


async def test_encrypted_rows_cannot_be_swapped(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "pir.db", sealer=Sealer([b"k" * 32]), now=clock)
    await store.start()
    await store.put(make_suspension())
    raw = sqlite3.connect(tmp_path / "pir.db", isolation_level=None)
    raw.execute("UPDATE nodes SET tenant = 'u'")
    raw.close()
    with pytest.raises(StoreError, match="encrypted"):
        await store.get("u", "pir_1")
    await store.aclose()


async def test_rows_written_before_a_key_was_set_are_still_read(tmp_path: Path, clock: Clock) -> None:
    plain = SqliteStore(tmp_path / "pir.db", now=clock)
    await plain.start()
    await plain.put(make_suspension())
    await plain.aclose()
    store = SqliteStore(tmp_path / "pir.db", sealer=Sealer([b"k" * 32]), now=clock)
    await store.start()
    assert await store.get("t", "pir_1") == make_suspension()
    await store.aclose()
