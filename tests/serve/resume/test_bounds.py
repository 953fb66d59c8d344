"""What is never crossed: tenants, models, secrets; and what the scopes of two chats keep apart."""

from __future__ import annotations

import pytest

from pir_serve.errors import SuspensionNotFound
from pir_serve.resume import Keys, find
from tests.serve.resume.conftest import P, Q, R, World, hit


async def test_never_across_tenants(world: World) -> None:
    s = await world.ask([P], tenant="theirs")
    handle = world.handle(s)
    assert await world.find(P, Q, R) is None
    assert await world.find(Q, R) is None
    assert await world.find(P, Q, R, sealed=[handle], tool_call_id=f"call_{s.sid}") is None
    with pytest.raises(SuspensionNotFound):
        await world.find(P, Q, R, explicit_sid=s.sid)
    assert not world.was_asked(P, Q, R, sealed=[handle])


async def test_never_for_another_model(world: World) -> None:
    s = await world.ask([P], digest="other")
    assert await world.find(P, Q, R) is None
    assert await world.find(P, Q, R, sealed=[world.handle(s)], tool_call_id=f"call_{s.sid}") is None
    with pytest.raises(SuspensionNotFound, match="pir-tiny"):
        await world.find(P, Q, R, explicit_sid=s.sid)


async def test_keys_of_another_secret_find_nothing(world: World) -> None:
    await world.ask([P])
    assert await find(world.lookup([P, Q, R]), world.store, Keys(b"o" * 32), world.sealer) is None


async def test_the_same_conversation_in_two_chats_is_two(world: World) -> None:
    first = await world.ask([P], scope="chat 1")
    second = await world.ask([P], scope="chat 2")
    assert hit(await world.find(P, Q, R, scope="chat 1")) == (first.sid, "hash", R[1])
    assert hit(await world.find(P, Q, R, scope="chat 2")) == (second.sid, "hash", R[1])
    assert await world.find(P, Q, R, scope="chat 3") is None


async def test_a_scope_is_preferred_to_none_and_none_will_do(world: World) -> None:
    scoped = await world.ask([P], scope="chat 1")
    unscoped = await world.ask([P])
    assert hit(await world.find(P, Q, R, scope="chat 1")) == (scoped.sid, "hash", R[1])
    assert hit(await world.find(P, Q, R)) == (unscoped.sid, "hash", R[1])
    assert hit(await world.find(P, Q, R, scope="chat 2")) == (unscoped.sid, "hash", R[1])


async def test_a_scope_is_found_behind_many_newer_of_other_scopes(world: World) -> None:
    first = await world.ask([P], scope="chat 0")
    for k in range(1, 50):
        await world.ask([P], scope=f"chat {k}")
    assert hit(await world.find(P, Q, R, scope="chat 0")) == (first.sid, "hash", R[1])


async def test_a_system_text_that_changes_with_the_clock_is_no_obstacle_within_a_scope(world: World) -> None:
    s = await world.ask([("system", "It is 10:00."), P], scope="chat 1")
    assert hit(await world.find(("system", "It is 10:01."), P, Q, R, scope="chat 1")) == (s.sid, "hash", R[1])
