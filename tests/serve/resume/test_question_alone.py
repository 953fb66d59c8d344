"""A history wrapped, cut or lost: the question leads back only where there is no doubt which conversation is meant."""

from __future__ import annotations

from tests.serve.resume.conftest import RAG, P, Q, R, S, World, asked, hit, user


async def test_open_webui_wraps_the_last_user_message_and_sends_it_bare_on_the_next_turn(world: World) -> None:
    s = await world.ask([user(RAG.format(P[1]))])
    wrapped_response = user(RAG.format(R[1]))
    assert hit(await world.find(P, Q, wrapped_response)) == (s.sid, "heuristic", wrapped_response[1])
    second = await world.ask([P, Q, wrapped_response], asked("Of water?"))
    assert hit(await world.find(P, Q, R, asked("Of water?"), user("yes"))) == (second.sid, "heuristic", "yes")


async def test_a_wrapped_message_of_several_lines_is_recognised_and_an_edited_one_is_not(world: World) -> None:
    lines = "A tank of 20 litres leaks.\nIt is Monday.\n\nHow much is left?"
    s = await world.ask([user(f"{RAG.format(lines)}\n</query>")])
    assert hit(await world.find(user(lines), Q, R)) == (s.sid, "heuristic", R[1])
    for edited in (lines.replace("20", "30"), lines.replace("It is Monday.\n", ""), lines + "\nIn pints?"):
        assert await world.find(user(edited), Q, R) is None


async def test_behind_very_much_retrieved_text_a_message_is_recognised_and_little_of_the_text_is_kept(
    world: World,
) -> None:
    retrieved = "\n".join(f"Fact {k}." for k in range(5000))
    s = await world.ask([user(f"{retrieved}\n{P[1]}")])
    assert hit(await world.find(P, Q, R)) == (s.sid, "heuristic", R[1])
    assert len(s.message_keys) < 300


async def test_a_history_cut_at_its_beginning_is_found_by_its_rest(world: World) -> None:
    long = [turn for k in range(10) for turn in (user(f"question {k}"), asked(f"answer {k}"))]
    s = await world.ask([*long, P])
    for start in range(1, len(long) + 1):
        assert hit(await world.find(*long[start:], P, Q, R)) == (s.sid, "heuristic", R[1])
    assert hit(await world.find(Q, R)) == (s.sid, "heuristic", R[1])


async def test_a_history_with_a_gap_is_new(world: World) -> None:
    await world.ask([user("a"), asked("b"), user("c"), asked("d"), P])
    assert await world.find(user("a"), asked("d"), P, Q, R) is None


async def test_a_question_alone_is_no_proof_where_two_conversations_asked_it(world: World) -> None:
    await world.ask([P])
    await world.ask([user("Another tank leaks.")])
    assert await world.find(Q, R) is None
    assert await world.find(user("A third tank leaks."), Q, R) is None


async def test_a_question_alone_is_no_proof_under_another_system_text(world: World) -> None:
    await world.ask([S, P])
    assert await world.find(Q, R) is None
    assert await world.find(("system", "Be verbose."), Q, R) is None
    assert await world.find(S, Q, R) is not None


async def test_one_question_in_very_many_conversations_is_never_guessed(world: World) -> None:
    for k in range(40):
        await world.ask([user(f"{RAG.format(f'Tank {k} leaks.')}")])
    assert await world.find(user("Tank 39 leaks."), Q, R) is None
    assert await world.find(Q, R) is None


async def test_siblings_of_one_conversation_are_no_doubt(world: World) -> None:
    wrapped = user(RAG.format(P[1]))
    await world.ask([wrapped])
    newest = await world.ask([wrapped])
    assert hit(await world.find(P, Q, R)) == (newest.sid, "heuristic", R[1])


async def test_the_question_alone_counts_within_its_scope_only(world: World) -> None:
    wrapped = user(RAG.format(P[1]))
    first = await world.ask([wrapped], scope="chat 1")
    assert await world.find(P, Q, R, scope="chat 2") is None
    assert await world.find(P, Q, R) is None
    assert hit(await world.find(P, Q, R, scope="chat 1")) == (first.sid, "heuristic", R[1])
    again = await world.ask([user(RAG.format(P[1]).replace("Tanks", "Pipes"))], scope="chat 1")
    assert hit(await world.find(P, Q, R, scope="chat 1")) == (again.sid, "heuristic", R[1])


async def test_within_a_scope_the_history_of_which_least_was_dropped_is_meant(world: World) -> None:
    wrapped = user(RAG.format(P[1]))
    short = await world.ask([wrapped], scope="chat 1")
    long = await world.ask([user("Hi"), asked("Hello!"), wrapped], scope="chat 1")
    assert hit(await world.find(P, Q, R, scope="chat 1")) == (short.sid, "heuristic", R[1])
    assert hit(await world.find(asked("Hello!"), P, Q, R, scope="chat 1")) == (long.sid, "heuristic", R[1])
