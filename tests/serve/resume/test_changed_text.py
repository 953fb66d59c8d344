"""The same conversation as front ends change it - white space, system texts, images - leads to the same suspension."""

from __future__ import annotations

import inspect

from tests.serve.resume.conftest import P, Q, R, S, World, asked, hit, user


async def test_whitespace_and_unicode_forms_do_not_matter(world: World) -> None:
    question = asked("  Wie viel für\n\n  das Café?\t")
    s = await world.ask([user("Preise:\n  Café  4 €\n")], question)
    cleaned = [user("Preise: Cafe\u0301 4 €"), asked(inspect.cleandoc(question[1]).replace("ü", "u\u0308")), R]
    assert hit(await world.find(*cleaned)) == (s.sid, "hash", R[1])


async def test_words_case_and_punctuation_do_matter(world: World) -> None:
    await world.ask([P])
    for changed in (P[1].lower(), P[1].rstrip("?"), P[1].replace(" ", "")):
        assert await world.find(user(changed), Q, R) is None


async def test_text_cannot_be_moved_across_messages_or_roles(world: World) -> None:
    await world.ask([user("one two"), asked("three"), user("four")])
    assert await world.find(user("one"), user("two"), asked("three"), user("four"), Q, R) is None
    assert await world.find(user("one two"), user("three"), user("four"), Q, R) is None


async def test_gradio_sends_the_system_message_on_the_first_turn_only(world: World) -> None:
    s = await world.ask([S, P])
    assert hit(await world.find(P, Q, R)) == (s.sid, "hash", R[1])
    assert hit(await world.find(S, P, Q, R)) == (s.sid, "hash", R[1])


async def test_another_system_text_is_another_conversation(world: World) -> None:
    """One front end's key serves many users, whose memories are in the system text."""
    await world.ask([("system", "The user is Ann, who owes 300."), P])
    assert await world.find(("system", "The user is Bob."), P, Q, R) is None
    await world.ask([P])
    mine = await world.ask([("developer", "The user is Bob."), P])
    assert hit(await world.find(("system", "The user is Bob."), P, Q, R)) == (mine.sid, "hash", R[1])


async def test_system_text_counts_the_same_within_and_beside_the_messages(world: World) -> None:
    s = await world.ask([P], system="Be brief.")
    assert hit(await world.find(S, P, Q, R)) == (s.sid, "hash", R[1])
    assert hit(await world.find(P, Q, R, system=" Be  brief.")) == (s.sid, "hash", R[1])
    assert await world.find(P, Q, R, system="Be verbose.") is None


async def test_messages_without_text_do_not_count(world: World) -> None:
    s = await world.ask([user("Hi"), asked(""), P])
    assert hit(await world.find(user("Hi"), P, Q, R)) == (s.sid, "hash", R[1])
