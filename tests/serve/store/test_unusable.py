"""Files that are damaged, or not ours: said plainly, and left as they were."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from pir_serve.errors import ConfigError, StoreError
from pir_serve.store.schema import MIGRATIONS
from pir_serve.store.sqlite import SqliteStore
from tests.serve.store.samples import make_suspension


async def test_a_file_that_is_no_database_is_a_store_error_and_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, not a database " * 100)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        await SqliteStore(path).start()
    assert path.read_text().startswith("my notes")


async def test_a_folder_instead_of_a_file_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open"):
        await SqliteStore(tmp_path).start()


async def test_the_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE photos (id)")
    with pytest.raises(ConfigError, match="another program"):
        await SqliteStore(path).start()
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("photos",)]
    other.close()


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pir.db"
    store = SqliteStore(path)
    await store.start()
    await store.aclose()
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    raw.close()
    with pytest.raises(ConfigError, match="newer version"):
        await SqliteStore(path).start()


async def test_a_database_damaged_while_open_gives_store_errors(tmp_path: Path) -> None:
    path = tmp_path / "pir.db"
    store = SqliteStore(path)
    await store.start()
    for k in range(20):
        await store.put(make_suspension(f"pir_{k}", created=4e9))
    await store.aclose()
    damaged = bytearray(path.read_bytes())
    damaged[4096:] = random.Random(1).randbytes(len(damaged) - 4096)
    path.write_bytes(damaged)
    store = SqliteStore(path)
    with pytest.raises(StoreError):
        await store.start()
        await store.get("t", "pir_1")
    await store.aclose()


async def test_a_damaged_row_fails_by_id_and_is_left_out_of_lists(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pir.db"
    store = SqliteStore(path)
    await store.start()
    await store.put(make_suspension("pir_good", created=4e9))
    await store.put(make_suspension("pir_bad", created=4e9))
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("UPDATE nodes SET payload = zeroblob(100) WHERE sid = 'pir_bad'")
    raw.close()
    with pytest.raises(StoreError, match="pir_bad"):
        await store.get("t", "pir_bad")
    assert [s.sid for s in await store.find_by_question("t", "qk")] == ["pir_good"]
    assert "pir_bad" in caplog.text
    await store.aclose()


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "pir.db")
    with pytest.raises(StoreError, match="not open"):
        await store.get("t", "pir_1")
    await store.start()
    await store.aclose()
    with pytest.raises(StoreError, match="not open"):
        await store.put(make_suspension())


async def test_text_that_sqlite_cannot_store_is_a_store_error(store: SqliteStore) -> None:
    with pytest.raises(StoreError):
        await store.put(make_suspension(scope="\ud800"))
