"""Sealed state that clients echo: exact where it is ours and the history agrees, ignored everywhere else."""

from __future__ import annotations

from pir_serve.store.sealed import Sealer
from tests.serve.resume.conftest import RAG, T0, A, P, Q, R, World, asked, hit, user


async def test_sealed_state_is_exact_among_equal_conversations(world: World) -> None:
    first = await world.ask([P])
    await world.ask([P])
    assert hit(await world.find(P, Q, R, sealed=[world.handle(first)])) == (first.sid, "sealed", R[1])


async def test_sealed_state_survives_retrieved_text_and_another_system_text(world: World) -> None:
    s = await world.ask([("system", "It is 10:00."), user(RAG.format(P[1]))])
    request = [("system", "It is 10:01."), P, Q, R]
    assert await world.find(*request) is None
    assert hit(await world.find(*request, sealed=[world.handle(s)])) == (s.sid, "sealed", R[1])


async def test_of_very_many_echoes_the_newest_count(world: World) -> None:
    s = await world.ask([user(RAG.format(P[1]))])
    other_system = [("system", "It is 10:01."), P, Q, R]
    old = ["junk"] * 100
    assert hit(await world.find(*other_system, sealed=[world.handle(s), *old])) == (s.sid, "sealed", R[1])
    assert await world.find(*other_system, sealed=[*old, world.handle(s)]) is None


async def test_sealed_state_of_an_edited_history_is_ignored(world: World) -> None:
    s = await world.ask([P])
    edited = user("A tank of 30 litres leaks.")
    assert await world.find(edited, Q, R, sealed=[world.handle(s)]) is None
    assert await world.find(P, asked("Edited?"), R, sealed=[world.handle(s)]) is None
    assert not world.was_asked(edited, Q, R, sealed=[world.handle(s)])


async def test_sealed_state_of_earlier_questions_does_not_mislead(world: World) -> None:
    first = await world.ask([P])
    second = await world.ask([P, Q, R])
    handles = [world.handle(second), world.handle(first)]
    assert hit(await world.find(P, Q, R, Q, R, sealed=handles)) == (second.sid, "sealed", R[1])
    assert hit(await world.find(P, Q, R, Q, R, sealed=handles[::-1])) == (second.sid, "sealed", R[1])
    assert await world.find(P, Q, R, A, user("Thanks."), sealed=handles) is None


async def test_forged_sealed_state_changes_nothing(world: World) -> None:
    s = await world.ask([P])
    forged = Sealer([b"f" * 32], now=lambda: world.now).seal(
        s.sid, tenant="t", digest="d", transcript_key=s.transcript_key, expires=T0 * 2
    )
    assert hit(await world.find(P, Q, R, sealed=[forged, "junk", ""])) == (s.sid, "hash", R[1])
    assert not world.was_asked(P, Q, R, sealed=[forged])


async def test_expired_sealed_state_tells_that_the_question_was_ours(world: World) -> None:
    s = await world.ask([P])
    handle = world.handle(s)
    world.now += 4000
    assert await world.find(P, Q, R, sealed=[handle]) is None
    assert world.was_asked(P, Q, R, sealed=[handle])
    assert not world.was_asked(P, Q, R)
    assert not world.was_asked(P, Q, R, A, user("Thanks."), sealed=[handle])
