"""The SQLite store through its protocol: durable, per tenant, newest first, and honest about what it cannot read."""

from __future__ import annotations

import asyncio
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.errors import ConfigError, StoreError
from pir_serve.store import codec
from pir_serve.store.base import Suspension
from pir_serve.store.schema import MIGRATIONS
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Ask, Author, Exchange, Segment, Status, Trajectory, Volunteered

T0 = 1_800_000_000.0
DAY = 86_400.0
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not a failure."""


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


@pytest.fixture(params=["file", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "pir.db" if request.param == "file" else ":memory:", max_per_tenant=5, now=clock)
    await made.start()
    yield made
    await made.aclose()


# Contract


async def test_what_was_put_is_got_again_equal(store: SqliteStore) -> None:
    suspension = make_suspension(scope="chat 1", parent="pir_0", system_key="sk")
    await store.put(suspension)
    assert await store.get("t", "pir_1") == suspension
    assert await store.find_by_transcript("t", "tk") == [suspension]
    assert await store.find_by_question("t", "qk") == [suspension]
    assert (await store.list("t")).items == (suspension,)


async def test_nothing_is_visible_to_another_tenant(store: SqliteStore) -> None:
    await store.put(make_suspension())
    assert await store.get("other", "pir_1") is None
    assert await store.find_by_transcript("other", "tk") == []
    assert await store.find_by_question("other", "qk") == []
    assert (await store.list("other")).items == ()
    assert await store.count("other") == 0
    assert not await store.delete("other", "pir_1")
    assert await store.get("t", "pir_1") is not None


async def test_two_tenants_may_have_the_same_id(store: SqliteStore) -> None:
    mine, theirs = make_suspension(), make_suspension(tenant="u", scope="theirs")
    await store.put(mine)
    await store.put(theirs)
    assert (await store.get("t", "pir_1"), await store.get("u", "pir_1")) == (mine, theirs)


async def test_found_newest_first_and_within_a_scope_if_one_is_given(store: SqliteStore) -> None:
    for k, scope in enumerate(["a", "b", "a", ""]):
        await store.put(make_suspension(f"pir_{k}", created=T0 + k, scope=scope))
    for find, key in ((store.find_by_transcript, "tk"), (store.find_by_question, "qk")):
        assert [s.sid for s in await find("t", key)] == ["pir_3", "pir_2", "pir_1", "pir_0"]
        assert [s.sid for s in await find("t", key, scope="a")] == ["pir_2", "pir_0"]
        assert [s.sid for s in await find("t", key, scope="")] == ["pir_3"]
        assert [s.sid for s in await find("t", key, limit=1)] == ["pir_3"]
        assert await find("t", "another key") == []


async def test_list_pages_backwards_in_time(store: SqliteStore) -> None:
    for k in range(5):
        await store.put(make_suspension(f"pir_{k}", created=T0 + k))
    first = await store.list("t", limit=2)
    rest = await store.list("t", cursor=first.cursor)
    assert [s.sid for s in first.items + rest.items] == ["pir_4", "pir_3", "pir_2", "pir_1", "pir_0"]


async def test_deleting_says_whether_there_was_anything(store: SqliteStore) -> None:
    await store.put(make_suspension())
    assert await store.delete("t", "pir_1")
    assert not await store.delete("t", "pir_1")
    assert await store.count() == 0


async def test_putting_the_same_again_changes_nothing_but_another_of_that_id_is_refused(store: SqliteStore) -> None:
    suspension = make_suspension()
    await store.put(suspension)
    await store.put(suspension)
    assert await store.count("t") == 1
    with pytest.raises(StoreError, match="pir_1"):
        await store.put(replace(suspension, question_key="another"))
    assert await store.get("t", "pir_1") == suspension


async def test_a_tenant_over_its_cap_loses_its_oldest_and_others_lose_nothing(store: SqliteStore) -> None:
    await store.put(make_suspension("pir_other", tenant="u"))
    for k in range(8):
        await store.put(make_suspension(f"pir_{k}"))
    assert [s.sid for s in (await store.list("t")).items] == [f"pir_{k}" for k in (7, 6, 5, 4, 3)]
    assert await store.count("u") == 1


# Time


async def test_the_expired_are_never_returned_and_expire_deletes_them(store: SqliteStore, clock: Clock) -> None:
    await store.put(make_suspension("pir_old", expires=T0 + 10))
    await store.put(make_suspension("pir_new", expires=T0 + 100))
    clock.now = T0 + 10
    assert await store.get("t", "pir_old") is None
    assert [s.sid for s in await store.find_by_transcript("t", "tk")] == ["pir_new"]
    assert [s.sid for s in await store.find_by_question("t", "qk")] == ["pir_new"]
    assert [s.sid for s in (await store.list("t")).items] == ["pir_new"]
    assert (await store.count(), await store.count("t")) == (1, 1)
    assert not await store.delete("t", "pir_old")
    assert await store.expire(clock.now) == 1
    assert await store.expire(clock.now) == 0
    assert await store.get("t", "pir_new") is not None


async def test_expire_deletes_more_than_one_batch(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(":memory:", now=clock)
    await store.start()
    for k in range(600):
        await store.put(make_suspension(f"pir_{k}", expires=T0 + (k < 590)))
    assert await store.expire(T0) == 10
    assert await store.expire(T0 + 1) == 590
    await store.aclose()


async def test_order_of_arrival_survives_a_clock_that_jumps_back(store: SqliteStore, clock: Clock) -> None:
    await store.put(make_suspension("pir_first", created=T0))
    clock.now = T0 - 3600
    for k in range(5):
        await store.put(make_suspension(f"pir_later{k}", created=clock.now))
    assert (await store.find_by_transcript("t", "tk"))[0].sid == "pir_later4"
    assert await store.get("t", "pir_first") is None  # the cap dropped the first to arrive
    assert await store.get("t", "pir_later0") is not None


async def test_a_clock_that_jumps_ahead_and_back_hides_but_does_not_lose(store: SqliteStore, clock: Clock) -> None:
    await store.put(make_suspension())
    clock.now = T0 + 10 * DAY
    assert await store.get("t", "pir_1") is None
    clock.now = T0 + 1
    assert await store.get("t", "pir_1") is not None


# Durability and several processes

WRITER = """
import asyncio, dataclasses, pickle, sys
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


# What goes wrong


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


# Privacy


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


# Codec

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates included
token_ids = st.lists(st.integers(0, 2**32 - 1), max_size=20).map(tuple)
logprobs = st.lists(st.floats(allow_nan=False) | st.floats(width=32, allow_nan=False), max_size=20).map(tuple)
authors = st.sampled_from(Author)
asks = st.builds(Ask, st.integers(0, 99), any_text, st.none() | any_text, authors)
segments = st.builds(Segment, st.sampled_from(Author), any_text, token_ids, logprobs, st.none() | token_ids)
exchanges = st.builds(Exchange, asks, any_text, authors, any_text)
volunteered = st.builds(Volunteered, any_text, st.integers(0, 99))
trajectories = st.builds(
    Trajectory,
    any_text,
    any_text,
    st.lists(segments, max_size=5).map(tuple),
    st.lists(exchanges, max_size=3).map(tuple),
    st.sampled_from(Status),
    st.none() | asks,
    st.lists(any_text, max_size=3).map(tuple),
    st.none() | any_text,
    st.lists(volunteered, max_size=2).map(tuple),
)


@patient
@given(trajectories)
def test_any_trajectory_survives_storage_exactly(trajectory: Trajectory) -> None:
    loaded, _ = codec.load(codec.dump(trajectory))
    assert loaded == trajectory
    assert repr(loaded) == repr(trajectory)  # 0.0 is not -0.0


@patient
@given(trajectories, st.integers(0, 10_000), st.binary(max_size=4))
def test_damaged_bytes_are_a_codec_error_or_harmless_never_a_crash(t: Trajectory, at: int, noise: bytes) -> None:
    data = codec.dump(t)
    at %= len(data)
    for damaged in (data[:at], data[:at] + noise + data[at + len(noise) :], data + noise, noise):
        try:
            loaded, _ = codec.load(damaged)
        except codec.CodecError:
            continue
        assert loaded == t or damaged != data


def test_a_format_of_the_future_is_refused_by_number() -> None:
    data = bytearray(codec.dump(make_trajectory()))
    data[2] = 3
    with pytest.raises(codec.CodecError, match="format 3"):
        codec.load(bytes(data))


def test_a_row_of_the_first_format_is_still_read() -> None:
    """Written by the version before volunteered facts and reasons were stored."""
    row = bytes.fromhex(
        "50540166d00000001c00000030000000789c6d50b18ac3300cfd17cde2da5cb7109af1e64e1d42086aad4bccd94e88645a28fdf7934b"
        "b82e3718ded3939e9efc0061113f27a841860a10e2ec38188b864549b318a11b79f5691cb2f06ac2c2c91985baab10ce93bf4e2df436"
        "4be17b5e233b1320b128bb81e4a7488e95bcf9a61c0202dfaf13a591cdbbebf608a7d64cbfb245f930a01c9740cad0dba0f01839e9ab"
        "f3ad2034cb11f0135f7efb1ebb2d380235b6d2c21d4f6db3db60e93ce0a1b46d17d8abfe19befc95abb29cefba12d40f2857d837649d"
        "e1f9fc05bebe6296789c63646062281064016356063606760610608462080000212601227801636060600000000400017801636060600"
        "000000400017801636868600000028401017801dbbf6fff3e00077602fb"
    )
    loaded, extra = codec.load(row)
    assert extra == {"ask": "auto"}
    assert loaded.exchanges == (Exchange(Ask(0, "Q?"), "Guess.", Author.TEMPLATE),)
    assert loaded.pending == Ask(1, "Which?") and loaded.volunteered == ()
    assert [s.token_ids for s in loaded.segments] == [(1, 2), (70000, 4), (6,), (7,)]
    assert codec.load(codec.dump(loaded, extra)) == (loaded, extra)


def test_log_probabilities_of_an_engine_take_four_bytes_at_most() -> None:
    rng = random.Random(3)
    as_computed = tuple(array("f", [-rng.expovariate(1) for _ in range(4000)]))
    size = len(codec.dump(Trajectory("s", "m", (Segment(Author.MODEL, "", (), as_computed),))))
    assert size < 4 * 4000 + 200
