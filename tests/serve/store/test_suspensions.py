"""What is put is found: whole, by its tenant only, newest first, up to the tenant's cap."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pir_serve.errors import StoreError
from pir_serve.store.sqlite import SqliteStore
from tests.serve.store.samples import T0, make_suspension


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
