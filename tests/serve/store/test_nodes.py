"""Finished trajectories beside suspensions: never resumed, listed in pages, and the first to be dropped."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.errors import RequestError
from pir_serve.store.base import Node, Page
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Status
from tests.serve.store.samples import T0, Clock, answer, ask, begin, make_node

KEY = b"k" * 32
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not a failure."""


def sids(page: Page[Node]) -> list[str]:
    return [node.sid for node in page.items]


@pytest.fixture
def cap() -> int:
    return 8


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.INCOMPLETE, Status.FAILED])
async def test_a_finished_trajectory_is_kept_whole_and_never_found_as_something_to_resume(
    store: SqliteStore, status: Status
) -> None:
    finished = make_node("pir_1", begin().end(status, "why"))
    await store.put(finished)
    assert await store.get("t", "pir_1") == finished
    assert (await store.list("t")).items == (finished,)
    assert await store.find_by_transcript("t", "tk") == []
    assert await store.find_by_question("t", "qk", scope="") == []


async def test_finished_ones_do_not_crowd_out_the_one_to_resume(store: SqliteStore) -> None:
    waiting = make_node("pir_waits", ask(begin()))
    await store.put(waiting)
    for k in range(5):
        await store.put(make_node(f"pir_{k}", answer(ask(begin())), parent="pir_waits"))
    assert await store.find_by_transcript("t", "tk", limit=2) == [waiting]
    assert await store.find_by_question("t", "qk", limit=2) == [waiting]


async def test_a_trajectory_that_still_runs_is_no_node(store: SqliteStore) -> None:
    with pytest.raises(AssertionError):
        await store.put(make_node("pir_1", begin()))


async def test_nodes_are_listed_by_session_and_by_status(store: SqliteStore) -> None:
    for k, session in enumerate(["s_1", "s_2", "s_1"]):
        await store.put(make_node(f"pir_{k}", ask(begin(session))))
    await store.put(make_node("pir_3", answer(ask(begin("s_1")))))
    assert sids(await store.list("t", session="s_1")) == ["pir_3", "pir_2", "pir_0"]
    assert sids(await store.list("t", status=Status.AWAITING_USER)) == ["pir_2", "pir_1", "pir_0"]
    assert sids(await store.list("t", session="s_1", status=Status.COMPLETED)) == ["pir_3"]
    assert await store.count("t", status=Status.AWAITING_USER) == 3
    assert await store.count("t") == await store.count() == 4
    assert (await store.list("t", session="s_3")).items == ()


async def test_pages_neither_repeat_nor_skip_while_rows_come_and_go(store: SqliteStore) -> None:
    for k in range(6):
        await store.put(make_node(f"pir_{k}", ask(begin())))
    first = await store.list("t", limit=2)
    await store.put(make_node("pir_new", ask(begin())))
    assert await store.delete("t", "pir_4")  # the one that the cursor stands at
    second = await store.list("t", limit=2, cursor=first.cursor)
    third = await store.list("t", limit=2, cursor=second.cursor)
    assert [sids(page) for page in (first, second, third)] == [
        ["pir_5", "pir_4"],
        ["pir_3", "pir_2"],
        ["pir_1", "pir_0"],
    ]
    assert third.cursor is None


@pytest.mark.parametrize("cursor", ["", "x", "AAAAAAAAAA", "A" * 5000, "é", "\ud800", "AAAA AAAAAAA", "-1", "null"])
async def test_a_cursor_of_ones_own_making_is_the_clients_mistake(store: SqliteStore, cursor: str) -> None:
    for pages in (store.list("t", cursor=cursor), store.sessions("t", cursor=cursor)):
        with pytest.raises(RequestError) as refused:
            await pages
        assert refused.value.param == "cursor"


@settings(patient, max_examples=30)
@given(st.text())
def test_any_text_for_a_cursor_gives_a_page_or_a_request_error(cursor: str) -> None:
    async def check() -> None:
        store = SqliteStore(":memory:")
        await store.start()
        try:
            assert (await store.list("t", cursor=cursor)).items == ()
        except RequestError:
            pass
        finally:
            await store.aclose()

    asyncio.run(check())


@settings(patient, max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 5)), max_size=12),
    st.integers(0, 5),
    st.integers(1, 4),
)
def test_pages_hold_what_has_not_expired_newest_first_and_once(
    puts: list[tuple[str, bool, int]], age: int, limit: int
) -> None:
    """Sessions and nodes against the same lists made without a database: (session, is it finished, time to live)."""
    nodes = []
    for k, (session, is_finished, ttl) in enumerate(puts):
        trajectory = answer(ask(begin(session))) if is_finished else ask(begin(session))
        nodes.append(make_node(f"pir_{k}", trajectory, created=T0 + k, expires=T0 + ttl))
    there = [node for node in reversed(nodes) if node.expires > T0 + age]
    newest = {node.trajectory.session: node for node in reversed(there)}
    order = sorted(newest.values(), key=lambda node: -node.created)

    async def check() -> None:
        clock = Clock()
        store = SqliteStore(":memory:", now=clock)
        await store.start()
        for node in nodes:
            await store.put(node)
        clock.now += age
        for status in (None, *{node.status for node in nodes}):
            listed, cursor = [], None
            while (page := await store.list("t", status=status, limit=limit, cursor=cursor)).cursor:
                listed, cursor = [*listed, *page.items], page.cursor
            assert [*listed, *page.items] == [n for n in there if status in (None, n.status)]
            seen, cursor = [], None
            while (found := await store.sessions("t", status=status, limit=limit, cursor=cursor)).cursor:
                seen, cursor = [*seen, *found.items], found.cursor
            seen += found.items
            assert [s.newest for s in seen] == [n.sid for n in order if status in (None, n.status)]
            for s in seen:
                of_it = [n for n in there if n.trajectory.session == s.session]
                assert s.num_nodes == len(of_it) and s.expires == max(n.expires for n in of_it)
                assert s.num_waiting == sum(n.status is Status.AWAITING_USER for n in of_it)
        await store.aclose()

    asyncio.run(check())


async def test_over_the_cap_the_finished_go_first_and_what_was_just_put_stays(store: SqliteStore) -> None:
    for k in range(6):
        await store.put(make_node(f"pir_w{k}", ask(begin(f"s_w{k}"))))
    for k in range(4):
        await store.put(make_node(f"pir_f{k}", begin(f"s_f{k}").end(Status.COMPLETED)))
    assert sids(await store.list("t")) == ["pir_f3", "pir_f2", *(f"pir_w{k}" for k in (5, 4, 3, 2, 1, 0))]
    for k in range(6, 9):
        await store.put(make_node(f"pir_w{k}", ask(begin(f"s_w{k}"))))
    assert sids(await store.list("t")) == [f"pir_w{k}" for k in (8, 7, 6, 5, 4, 3, 2, 1)]
    await store.put(make_node("pir_f9", begin("s_f9").end(Status.COMPLETED)))
    assert sids(await store.list("t"))[0] == "pir_f9"
    assert (await store.stats()).evicted == {"finished": 4, "waiting": 2, "responses": 0}


async def test_each_node_has_its_own_time_to_live(store: SqliteStore, clock: Clock) -> None:
    waiting = make_node("pir_1", ask(begin()), expires=T0 + 10)
    await store.put(waiting)
    await store.put(make_node("pir_2", answer(waiting.trajectory), parent="pir_1", expires=T0 + 1000))
    clock.now = T0 + 10
    assert sids(await store.list("t", session="s_1")) == ["pir_2"]
    assert await store.expire(clock.now) == 1
    (session,) = (await store.sessions("t")).items
    assert (session.num_nodes, session.num_waiting, session.status) == (1, 0, Status.COMPLETED)
