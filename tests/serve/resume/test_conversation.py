"""What people do to a conversation - answer, edit, regenerate, go on - for clients that send all of it and nothing else."""

from __future__ import annotations

from tests.serve.resume.conftest import A, P, Q, R, S, World, asked, hit, user


async def test_the_next_user_message_resumes(world: World) -> None:
    s = await world.ask([P])
    assert hit(await world.find(P, Q, R)) == (s.sid, "hash", "About 3.")
    found = await world.find(P, Q, R)
    assert found and found.suspension == s


async def test_a_conversation_without_a_question_of_ours_is_new(world: World) -> None:
    await world.ask([P])
    for messages in ([P], [R], [P, asked("Hello!"), R], [P, Q], [S], [], [P, Q, asked(""), asked("Hm?"), R]):
        assert await world.find(*messages) is None


async def test_the_same_answer_again_resumes_the_same_node_again(world: World) -> None:
    s = await world.ask([P])
    assert hit(await world.find(P, Q, R)) == hit(await world.find(P, Q, R)) == (s.sid, "hash", R[1])


async def test_an_edited_answer_resumes_the_same_node(world: World) -> None:
    s = await world.ask([P])
    assert hit(await world.find(P, Q, user("No, 4."))) == (s.sid, "hash", "No, 4.")


async def test_two_tabs_with_different_answers_both_resume(world: World) -> None:
    s = await world.ask([P])
    second = await world.ask([P, Q, R], asked("Of water?"))
    assert hit(await world.find(P, Q, user("5"))) == (s.sid, "hash", "5")
    assert hit(await world.find(P, Q, R, asked("Of water?"), user("yes"))) == (second.sid, "hash", "yes")


async def test_an_edited_earlier_message_is_new(world: World) -> None:
    await world.ask([P])
    assert await world.find(user("A tank of 30 litres leaks. How much is left?"), Q, R) is None
    await world.ask([user("Hi"), asked("Hello!"), P])
    assert await world.find(user("Hey"), asked("Hello!"), P, Q, R) is None
    assert await world.find(user("Hi"), asked("Hello?"), P, Q, R) is None


async def test_the_old_node_is_still_there_after_an_edit(world: World) -> None:
    s = await world.ask([P])
    edited = user("A tank of 30 litres leaks.")
    other = await world.ask([edited])
    assert hit(await world.find(P, Q, R)) == (s.sid, "hash", R[1])
    assert hit(await world.find(edited, Q, R)) == (other.sid, "hash", R[1])


async def test_a_regenerated_question_resumes_the_newest(world: World) -> None:
    await world.ask([P])
    second = await world.ask([P])
    assert hit(await world.find(P, Q, R)) == (second.sid, "hash", R[1])


async def test_a_regenerated_question_of_other_words_leads_each_to_its_own(world: World) -> None:
    first = await world.ask([P])
    second = await world.ask([P], asked("How much was lost?"))
    assert hit(await world.find(P, Q, R)) == (first.sid, "hash", R[1])
    assert hit(await world.find(P, asked("How much was lost?"), R)) == (second.sid, "hash", R[1])


async def test_after_the_final_answer_the_next_message_is_new(world: World) -> None:
    await world.ask([P])
    assert await world.find(P, Q, R, A, user("Thanks! And in gallons?")) is None


async def test_expired_is_not_found(world: World) -> None:
    await world.ask([P])
    world.now += 4000
    assert await world.find(P, Q, R) is None


async def test_a_second_question_is_found_in_the_longer_conversation(world: World) -> None:
    q2, r2 = asked("Is it full at the start?"), user("yes")
    first = await world.ask([P])
    second = await world.ask([P, Q, R], q2)
    assert hit(await world.find(P, Q, R, q2, r2)) == (second.sid, "hash", "yes")
    assert hit(await world.find(P, Q, R)) == (first.sid, "hash", R[1])


async def test_the_same_question_twice_in_one_conversation_is_told_apart(world: World) -> None:
    first = await world.ask([P])
    second = await world.ask([P, Q, R])
    third = await world.ask([P, Q, R, Q, R])
    assert hit(await world.find(P, Q, R)) == (first.sid, "hash", R[1])
    assert hit(await world.find(P, Q, R, Q, R)) == (second.sid, "hash", R[1])
    assert hit(await world.find(P, Q, R, Q, R, Q, R)) == (third.sid, "hash", R[1])


async def test_a_response_sent_again_after_a_failure_keeps_the_first_attempt(world: World) -> None:
    s = await world.ask([P])
    assert hit(await world.find(P, Q, R, user("Are you there?"))) == (s.sid, "hash", "About 3.\n\nAre you there?")
    assert hit(await world.find(P, Q, R, asked(""), user("Hello?"))) == (s.sid, "hash", "About 3.\n\nHello?")


async def test_the_response_is_passed_on_as_it_was_written(world: World) -> None:
    await world.ask([P])
    found = await world.find(P, Q, user("  3\n\tlitres\u00a0<asking> "))
    assert found and found.response_text == "  3\n\tlitres\u00a0<asking> "
