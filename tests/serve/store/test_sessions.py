"""Nodes grouped to sessions: titles, searches, deletion, and what others see of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pir_serve.errors import StoreError
from pir_serve.store.base import FINISHED, Page, Session
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Author, Segment, Status, Trajectory
from tests.serve.store.samples import DAY, T0, Clock, answer, ask, begin, make_node

KEY = b"k" * 32


def names(page: Page[Session]) -> list[str]:
    return [session.session for session in page.items]


@pytest.fixture
def cap() -> int:
    return 8


async def test_a_session_tells_of_its_branches(store: SqliteStore, clock: Clock) -> None:
    first = ask(begin())
    again = ask(first.respond("In litres?", Segment(Author.USER, "r", (9,)), by=Author.USER), "Or gallons?")
    await store.put(make_node("pir_1", first))
    await store.put(make_node("pir_2", answer(first), parent="pir_1", created=T0 + 1, expires=T0 + 9 * DAY))
    await store.put(make_node("pir_3", again, parent="pir_1", created=T0 + 2))
    assert await store.sessions("t") == Page(
        (
            Session(
                session="s_1",
                title="A tank leaks. How much is left?",
                newest="pir_3",
                model="pir-tiny",
                status=Status.AWAITING_USER,
                question="Or gallons?",
                num_nodes=3,
                num_waiting=2,
                created=T0,
                updated=T0 + 2,
                expires=T0 + 9 * DAY,
            ),
        ),
        None,
    )
    await store.delete("t", "pir_3")
    (session,) = (await store.sessions("t")).items
    assert (session.newest, session.status, session.question) == ("pir_2", Status.COMPLETED, None)


async def test_sessions_come_by_their_newest_node_in_pages_and_by_its_status(store: SqliteStore) -> None:
    for session in ("s_1", "s_2", "s_3"):
        await store.put(make_node(f"pir_{session}", ask(begin(session))))
    await store.put(make_node("pir_done", answer(ask(begin("s_1")))))
    assert names(await store.sessions("t")) == ["s_1", "s_3", "s_2"]
    first = await store.sessions("t", limit=1)
    second = await store.sessions("t", limit=1, cursor=first.cursor)
    third = await store.sessions("t", limit=1, cursor=second.cursor)
    assert [names(page) for page in (first, second, third)] == [["s_1"], ["s_3"], ["s_2"]]
    assert third.cursor is None
    assert names(await store.sessions("t", status=Status.AWAITING_USER)) == ["s_3", "s_2"]
    assert names(await store.sessions("t", status=Status.COMPLETED)) == ["s_1"]
    await store.put(make_node("pir_cut", begin("s_4").end(Status.INCOMPLETE, "max_tokens")))
    assert names(await store.sessions("t", status=FINISHED)) == ["s_4", "s_1"]
    assert [node.sid for node in (await store.list("t", status=FINISHED)).items] == ["pir_cut", "pir_done"]
    assert names(await store.sessions("t", status=frozenset())) == []


async def test_one_session_is_had_by_its_id_as_lists_show_it(store: SqliteStore, clock: Clock) -> None:
    for sid, session in (("pir_1", "s_1"), ("pir_2", "s_2"), ("pir_3", "s_1")):
        await store.put(make_node(sid, ask(begin(session))))
    await store.rename("t", "s_1", "Mine")
    for listed in (await store.sessions("t")).items:
        assert await store.session("t", listed.session) == listed
    assert await store.session("t", "s_none") is None and await store.session("t", "pir_1") is None
    assert await store.session("other", "s_1") is None
    clock.now = T0 + DAY
    assert await store.session("t", "s_1") is None


async def test_a_title_is_the_beginning_of_the_last_message_until_its_user_gives_another(store: SqliteStore) -> None:
    await store.put(make_node("pir_1", ask(begin(said="  Mia has\n " + "many apples " * 20))))
    (session,) = (await store.sessions("t")).items
    assert session.title.startswith("Mia has many apples many") and len(session.title) <= 81
    assert session.title.endswith("…") and "plumber" not in session.title
    assert await store.rename("t", "s_1", "Äpfel 🍎")
    await store.put(make_node("pir_2", answer(ask(begin()))))
    assert [s.title for s in (await store.sessions("t")).items] == ["Äpfel 🍎"]
    assert await store.rename("t", "s_1", "")
    assert [s.title for s in (await store.sessions("t")).items] == ["A tank leaks. How much is left?"]
    assert not await store.rename("t", "s_none", "x")
    assert not await store.rename("other", "s_1", "x")


async def test_a_given_title_goes_when_the_last_node_goes(store: SqliteStore, clock: Clock) -> None:
    node = make_node("pir_1", ask(begin()))
    for end in ("delete", "delete_session", "expire", "purge"):
        await store.put(node)
        await store.put(replace(node, sid="pir_2"))
        await store.rename("t", "s_1", "Mine")
        await store.delete("t", "pir_2")
        assert [s.title for s in (await store.sessions("t")).items] == ["Mine"]
        if end == "delete":
            await store.delete("t", "pir_1")
        elif end == "delete_session":
            assert await store.delete_session("t", "s_1") == 1
        elif end == "purge":
            assert await store.purge("t") == 1
        else:
            assert await store.expire(T0 + DAY) == 1
        await store.put(node)
        assert [s.title for s in (await store.sessions("t")).items] == ["A tank leaks. How much is left?"]
        await store.purge("t")


async def test_search_finds_what_was_said_in_any_branch_but_not_the_reasoning(store: SqliteStore) -> None:
    first = ask(begin())
    await store.put(make_node("pir_1", first))
    await store.put(make_node("pir_2", answer(first, "Drei Liter", "STRASSE twelve"), parent="pir_1"))
    await store.put(make_node("pir_3", answer(first, "Four", "fifteen"), parent="pir_1"))
    await store.put(make_node("pir_4", ask(begin("s_2", "Mia has apples."), "How many apples?")))
    await store.rename("t", "s_2", "Fruit")
    for text, found in {
        "TANK": ["s_1"],
        "litres spilled": ["s_1"],
        "drei": ["s_1"],
        "twelve fifteen": ["s_1"],
        "straße": ["s_1"],
        "many": ["s_2", "s_1"],
        "fruit mia": ["s_2"],
        "zebras": [],  # reasoned, not said
        "plumber": [],  # system text
        "tank apples": [],
        "%": [],
        "": ["s_2", "s_1"],
        "  \n": ["s_2", "s_1"],
    }.items():
        assert names(await store.sessions("t", search=text)) == found, text
    assert names(await store.sessions("t", search="many", status=Status.COMPLETED)) == ["s_1"]
    assert names(await store.sessions("other", search="tank")) == []


async def test_a_search_pages_through_more_sessions_than_it_looks_at_in_one_go(clock: Clock) -> None:
    store = SqliteStore(":memory:", now=clock)
    await store.start()
    for k in range(600):
        said = f"Find this, number {k}" if k % 100 == 0 else "Something else"
        await store.put(make_node(f"pir_{k}", ask(begin(f"s_{k}", said))))
    page = await store.sessions("t", search="find THIS", limit=4)
    rest = await store.sessions("t", search="find THIS", limit=4, cursor=page.cursor)
    assert names(page) + names(rest) == [f"s_{k}" for k in (500, 400, 300, 200, 100, 0)]
    assert rest.cursor is None
    await store.aclose()


async def test_nothing_of_a_session_is_seen_or_deleted_by_another_tenant(store: SqliteStore) -> None:
    mine, theirs = make_node("pir_1", ask(begin())), make_node("pir_1", ask(begin(said="Nora buys pens.")), tenant="u")
    await store.put(mine)
    await store.put(theirs)
    await store.rename("t", "s_1", "Mine")
    assert [s.title for s in (await store.sessions("u")).items] == ["Nora buys pens."]
    assert [s.num_nodes for s in (await store.sessions("u")).items] == [1]
    assert [s.title for s in (await store.sessions("t")).items] == ["Mine"]  # though theirs came later
    assert (await store.sessions("t", search="Nora")).items == ()
    assert await store.delete_session("t", "s_1") == 1
    assert await store.delete_session("t", "s_1") == 0
    assert await store.purge("t") == 0
    assert await store.get("u", "pir_1") == theirs


async def test_a_prompt_without_words_has_no_title(store: SqliteStore) -> None:
    for k, said in enumerate(("", " \n ", "\ud800")):
        await store.put(make_node(f"pir_{k}", ask(begin(f"s_{k}", said))))
    assert [s.title for s in (await store.sessions("t")).items] == ["\ud800", "", ""]
    bare = Trajectory("s_bare", "pir-tiny").end(Status.FAILED)
    await store.put(make_node("pir_bare", bare))
    assert (await store.sessions("t")).items[0].title == ""


async def test_stats_count_what_is_there(store: SqliteStore, clock: Clock) -> None:
    await store.put(make_node("pir_1", ask(begin())))
    await store.put(make_node("pir_2", answer(ask(begin()))))
    await store.put(make_node("pir_3", ask(begin()), tenant="u", expires=T0 + 1))
    clock.now = T0 + 2
    everything, mine = await store.stats(), await store.stats("t")
    assert everything.nodes == {"awaiting_user": 2, "completed": 1}
    assert (everything.num_sessions, everything.num_tenants) == (2, 2)
    assert mine.nodes == {"awaiting_user": 1, "completed": 1} and mine.num_sessions == 1
    assert everything.num_bytes is None or everything.num_bytes > 10_000
    assert (await store.stats("nobody")).nodes == {}


async def test_titles_and_texts_are_encrypted_at_rest_and_unreadable_ones_are_left_blank(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore(tmp_path / "pir.db", sealer=Sealer([KEY]), now=clock)
    await store.start()
    await store.put(make_node("pir_1", ask(begin())))
    await store.rename("t", "s_1", "My tank")
    await store.aclose()
    stored = (tmp_path / "pir.db").read_bytes()
    assert b"PE" in stored and b"tank" not in stored
    store = SqliteStore(tmp_path / "pir.db", now=clock)
    await store.start()
    (session,) = (await store.sessions("t")).items
    assert (session.title, session.num_waiting) == ("", 1)
    assert (await store.list("t")).items == ()
    with pytest.raises(StoreError, match="encrypted"):
        await store.get("t", "pir_1")
    assert "tank" not in caplog.text
    await store.aclose()
