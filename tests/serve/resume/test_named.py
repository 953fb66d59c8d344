"""A suspension that the client names: by its id, or by the id of the tool call that asked."""

from __future__ import annotations

import pytest

from pir_serve.errors import RequestError, SuspensionNotFound
from pir_serve.transcript import Turn
from tests.serve.resume.conftest import A, P, Q, R, World, asked, hit, user


async def test_a_named_id_is_exact_whatever_the_text(world: World) -> None:
    s = await world.ask([P])
    for messages in ([R], [P, Q, R], [user("edited"), asked("edited"), R]):
        assert hit(await world.find(*messages, explicit_sid=s.sid)) == (s.sid, "exact", R[1])


async def test_a_named_id_takes_the_last_message_where_the_question_is_not_in_sight(world: World) -> None:
    s = await world.ask([P])
    assert hit(await world.find(P, R, explicit_sid=s.sid)) == (s.sid, "exact", R[1])
    assert hit(await world.find(P, A, user("Another thing."), R, explicit_sid=s.sid)) == (s.sid, "exact", R[1])


@pytest.mark.parametrize("sid", ["pir_gone", "", "x" * 10_000, "'; DROP TABLE suspensions"])
async def test_a_named_id_that_is_not_there_is_an_error_and_not_a_guess(world: World, sid: str) -> None:
    await world.ask([P])
    with pytest.raises(SuspensionNotFound) as error:
        await world.find(P, Q, R, explicit_sid=sid)
    assert len(error.value.message) < 300


async def test_a_named_id_without_a_response_is_an_error(world: World) -> None:
    s = await world.ask([P])
    with pytest.raises(RequestError, match="last message"):
        await world.find(P, Q, explicit_sid=s.sid)


async def test_a_tool_call_id_is_exact(world: World) -> None:
    s = await world.ask([user("Hi"), asked("Hello!"), P])
    result: Turn = ("tool", "About 3.")
    conversation = [user("Hi"), asked("Hello!"), P, asked(""), result]
    assert hit(await world.find(*conversation, tool_call_id=f"call_{s.sid}")) == (s.sid, "exact", "About 3.")
    assert await world.find(*conversation, tool_call_id="call_pir_gone") is None
    assert await world.find(*conversation, tool_call_id="call_of_another_tool") is None
    assert world.was_asked(*conversation, tool_call_id="call_pir_gone")
    assert not world.was_asked(*conversation, tool_call_id="call_of_another_tool")
