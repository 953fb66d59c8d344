"""Suspensions whose time is over, and clocks that jump."""

from __future__ import annotations

from pathlib import Path

from pir_serve.store.sqlite import SqliteStore
from tests.serve.store.samples import DAY, T0, Clock, make_suspension


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
