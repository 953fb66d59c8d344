"""What the Responses API keeps: documents that never change once they have ended, and event logs that survive."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.errors import StoreError
from pir_serve.store.responses import ResponseRecord, ResponseStatus
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from tests.serve.store.samples import T0, Clock

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not a failure."""


def make_record(response_id: str = "resp_1", status: str = "completed", **fields: object) -> ResponseRecord:
    plain = ResponseRecord(
        id=response_id,
        tenant="t",
        status=ResponseStatus(status),
        body={"id": response_id, "output": [{"type": "message", "text": "é\ud800"}], "top_p": 0.1},
        input=({"id": "msg_1", "role": "user", "content": "Hi"},),
        conversation=({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "How many?"}),
        sid="pir_1",
        created=T0,
        expires=T0 + 1000,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def events(*numbers: int) -> list[bytes]:
    return [b"" if n == 2 else f'{{"sequence_number":{n}}}\n'.encode() for n in numbers]


@pytest.fixture
def cap() -> int:
    return 3


# Documents


async def test_a_response_is_got_as_it_was_put_by_its_tenant_only(store: SqliteStore) -> None:
    record = make_record()
    assert await store.responses.put(record)
    assert await store.responses.get("t", "resp_1") == record
    assert await store.responses.get("u", "resp_1") is None
    assert await store.responses.get("t", "resp_2") is None
    assert not await store.responses.delete("u", "resp_1")
    theirs = replace(record, tenant="u", sid=None)
    assert await store.responses.put(theirs)
    assert await store.responses.delete("t", "resp_1")
    assert not await store.responses.delete("t", "resp_1")
    assert await store.responses.get("u", "resp_1") == theirs


async def test_a_response_goes_on_until_it_ends_and_then_never_changes(store: SqliteStore) -> None:
    for status in ("queued", "in_progress", "in_progress", "cancelled"):
        record = make_record(status=status, body={"status": status})
        assert await store.responses.put(record)
        assert await store.responses.get("t", "resp_1") == record
    for status in ResponseStatus:
        assert not await store.responses.put(make_record(status=status.value))
    assert await store.responses.get("t", "resp_1") == record
    assert (await store.stats("t")).responses == {"cancelled": 1}


async def test_the_expired_are_not_returned_and_expire_deletes_them_with_their_events(
    store: SqliteStore, clock: Clock
) -> None:
    await store.responses.put(make_record(status="in_progress", expires=T0 + 10))
    await store.responses.append("t", "resp_1", events(0, 1), first=0)
    await store.responses.put(make_record("resp_2"))
    clock.now = T0 + 10
    assert await store.responses.get("t", "resp_1") is None
    assert await store.responses.events("t", "resp_1") == []
    assert not await store.responses.delete("t", "resp_1")
    assert await store.expire(clock.now) == 1
    assert await store.responses.put(make_record(status="in_progress"))
    assert await store.responses.events("t", "resp_1") == []
    assert await store.purge("t") == 2


async def test_over_the_cap_the_oldest_that_have_ended_go_and_those_that_run_stay(store: SqliteStore) -> None:
    await store.responses.put(make_record("resp_other", tenant="u"))
    await store.responses.put(make_record("resp_runs", "in_progress"))
    for k in range(4):
        await store.responses.put(make_record(f"resp_{k}"))
    found = [await store.responses.get("t", f"resp_{k}") for k in ("runs", *range(4))]
    assert [record.id for record in found if record] == ["resp_runs", "resp_2", "resp_3"]
    assert await store.responses.get("u", "resp_other")
    assert (await store.stats()).evicted["responses"] == 2
    for k in range(4):
        assert await store.responses.put(make_record(f"resp_r{k}", "queued"))
    assert (await store.stats("t")).responses == {"in_progress": 1, "queued": 4}


async def test_what_was_written_with_a_key_is_read_only_with_it(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "pir.db", sealer=Sealer([b"k" * 32]), now=clock)
    await store.start()
    await store.responses.put(make_record(status="in_progress"))
    await store.responses.append("t", "resp_1", events(0), first=0)
    await store.aclose()
    store = SqliteStore(tmp_path / "pir.db", now=clock)
    await store.start()
    with pytest.raises(StoreError, match="encrypted"):
        await store.responses.get("t", "resp_1")
    with pytest.raises(StoreError, match="encrypted"):
        await store.responses.events("t", "resp_1")
    await store.aclose()


@pytest.mark.parametrize("column, value", [("payload", b"\0" * 50), ("payload", b""), ("status", "asleep")])
async def test_a_damaged_row_is_a_store_error(tmp_path: Path, clock: Clock, column: str, value: object) -> None:
    store = SqliteStore(tmp_path / "pir.db", now=clock)
    await store.start()
    await store.responses.put(make_record())
    raw = sqlite3.connect(tmp_path / "pir.db", isolation_level=None)
    raw.execute(f"UPDATE responses SET {column} = ?", (value,))
    raw.close()
    with pytest.raises(StoreError, match="resp_1"):
        await store.responses.get("t", "resp_1")
    await store.aclose()


# Events


async def test_events_are_replayed_from_any_number(store: SqliteStore) -> None:
    await store.responses.put(make_record(status="in_progress"))
    assert await store.responses.append("t", "resp_1", events(0, 1, 2), first=0)
    assert await store.responses.append("t", "resp_1", [], first=3)
    assert await store.responses.append("t", "resp_1", events(3), first=3)
    assert await store.responses.put(make_record(), events=events(4, 5), first=4)
    everything = list(enumerate(events(0, 1, 2, 3, 4, 5)))
    for after in range(-2, 8):
        assert await store.responses.events("t", "resp_1", after=after) == everything[max(after + 1, 0) :]
    assert await store.responses.events("t", "resp_1", after=0, limit=3) == everything[1:4]
    assert await store.responses.events("u", "resp_1") == []
    await store.responses.delete("t", "resp_1")
    assert await store.responses.events("t", "resp_1") == []


async def test_an_append_can_be_repeated_but_leaves_no_gap(store: SqliteStore) -> None:
    await store.responses.put(make_record(status="in_progress"))
    await store.responses.append("t", "resp_1", events(0, 1), first=0)
    await store.responses.append("t", "resp_1", events(0, 1), first=0)
    await store.responses.append("t", "resp_1", events(1, 2, 3), first=1)
    assert await store.responses.events("t", "resp_1") == list(enumerate(events(0, 1, 2, 3)))
    with pytest.raises(StoreError, match="4 to 5"):
        await store.responses.append("t", "resp_1", events(6), first=6)
    with pytest.raises(StoreError, match="4 to 8"):
        await store.responses.put(make_record(), events=events(9), first=9)
    record = await store.responses.get("t", "resp_1")
    assert record and record.status is ResponseStatus.IN_PROGRESS  # all or nothing


async def test_nothing_is_appended_to_what_does_not_run(store: SqliteStore) -> None:
    assert not await store.responses.append("t", "resp_1", events(0), first=0)
    await store.responses.put(make_record(status="queued"))
    assert not await store.responses.append("u", "resp_1", events(0), first=0)
    await store.responses.put(make_record(status="cancelled"))
    assert not await store.responses.append("t", "resp_1", events(0), first=0)
    assert not await store.responses.put(make_record(), events=events(0), first=0)
    assert await store.responses.events("t", "resp_1") == []


@settings(patient, max_examples=40)
@given(st.lists(st.lists(st.binary(max_size=300), max_size=5), max_size=6), st.integers(-1, 30), st.integers(1, 30))
def test_any_bytes_in_any_batches_come_back_in_order(batches: list[list[bytes]], after: int, limit: int) -> None:
    async def check() -> None:
        store = SqliteStore(":memory:", now=lambda: T0)
        await store.start()
        await store.responses.put(make_record(status="in_progress"))
        number = 0
        for batch in batches:
            await store.responses.append("t", "resp_1", batch, first=number)
            number += len(batch)
        everything = list(enumerate(event for batch in batches for event in batch))
        found = await store.responses.events("t", "resp_1", after=after, limit=limit)
        assert found == everything[after + 1 :][:limit]
        await store.aclose()

    asyncio.run(check())
