"""Finding the suspension a request continues, for each thing that real front ends do to a conversation."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pir_serve.errors import RequestError, SuspensionNotFound
from pir_serve.resume import Keys, Lookup, Resumption, find, was_asked
from pir_serve.store.base import Suspension
from pir_serve.store.sealed import Sealer
from pir_serve.store.sqlite import SqliteStore
from pir_serve.trajectory import Author, Segment, Trajectory
from pir_serve.transcript import Turn, canonical, content_text, visible

T0 = 1_800_000_000.0
SECRET = b"s" * 32
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is not a failure."""
P: Turn = ("user", "A tank of 20 litres leaks. How much is left?")
Q: Turn = ("assistant", "How many litres were spilled?")
R: Turn = ("user", "About 3.")
A: Turn = ("assistant", "There are 17 litres left.")
S: Turn = ("system", "Be brief.")


def user(text: str) -> Turn:
    return "user", text


def asked(text: str) -> Turn:
    return "assistant", text


class World:
    """A store, and what a gateway does with it: suspend when a question is asked, find when a request comes."""

    def __init__(self) -> None:
        self.now = T0
        self.store = SqliteStore(":memory:", now=lambda: self.now)
        self.keys = Keys(SECRET)
        self.sealer = Sealer([SECRET], now=lambda: self.now)
        self._count = 0

    async def ask(self, request: Sequence[Turn], question: Turn = Q, **fields: Any) -> Suspension:
        """The model asks `question` in reply to `request`."""
        self._count += 1
        self.now += 1
        system = fields.pop("system", "")
        keys = self.keys.for_suspension(request, question[1], system)
        thought = Segment(Author.MODEL, f"<asking>{question[1]}</asking>", (self._count,))
        suspension = Suspension(
            sid=f"pir_{self._count:022d}",
            tenant=fields.pop("tenant", "t"),
            scope=fields.pop("scope", ""),
            model="pir-tiny",
            digest=fields.pop("digest", "d"),
            trajectory=Trajectory("s", "pir-tiny").append(thought).suspend(question[1]),
            request={},
            parent=None,
            created=self.now,
            expires=self.now + 3600,
            **keys._asdict(),
        )
        assert not fields
        await self.store.put(suspension)
        return suspension

    def handle(self, s: Suspension) -> str:
        return self.sealer.seal(
            s.sid, tenant=s.tenant, digest=s.digest, transcript_key=s.transcript_key, expires=s.expires
        )

    def lookup(self, messages: Sequence[Turn], **fields: Any) -> Lookup:
        return replace(Lookup(tenant="t", digest="d", messages=messages), **fields)

    async def find(self, *messages: Turn, **fields: Any) -> Resumption | None:
        return await find(self.lookup(messages, **fields), self.store, self.keys, self.sealer)

    def was_asked(self, *messages: Turn, **fields: Any) -> bool:
        return was_asked(self.lookup(messages, **fields), self.keys, self.sealer)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.store.start()
    yield made
    await made.store.aclose()


def hit(found: Resumption | None) -> tuple[str, str, str] | None:
    return (found.suspension.sid, found.how, found.response_text) if found else None


# The event table, for clients that send the whole conversation and nothing else


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


# What front ends do to text


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


def test_roles_and_lengths_are_part_of_the_hash() -> None:
    conversations = [
        [user("one"), asked("two")],
        [user("oneassistanttwo")],
        [user("one assistant two")],
        [asked("one"), user("two")],
        [user("one"), user("assistant"), user("two")],
        [user("one"), asked("two"), user("three")],
    ]
    assert len({Keys(SECRET).transcript(visible(c)) for c in conversations}) == len(conversations)


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


async def test_a_system_text_that_changes_with_the_clock_is_no_obstacle_within_a_scope(world: World) -> None:
    s = await world.ask([("system", "It is 10:00."), P], scope="chat 1")
    assert hit(await world.find(("system", "It is 10:01."), P, Q, R, scope="chat 1")) == (s.sid, "hash", R[1])


RAG = "### Task:\nAnswer from the context.\n<context>\n<source id=1>Tanks leak.</source>\n</context>\n\n{}"


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


async def test_messages_without_text_do_not_count(world: World) -> None:
    s = await world.ask([user("Hi"), asked(""), P])
    assert hit(await world.find(user("Hi"), P, Q, R)) == (s.sid, "hash", R[1])


async def test_images_are_told_apart_by_their_content(world: World) -> None:
    def with_image(url: str) -> Turn:
        image = {"type": "image_url", "image_url": {"url": url}}
        return user(content_text([{"type": "text", "text": "What is this?"}, image]))

    s = await world.ask([with_image("data:image/png;base64,AAAA")])
    assert hit(await world.find(with_image("data:image/png;base64,AAAA"), Q, R)) == (s.sid, "hash", R[1])
    assert await world.find(with_image("data:image/png;base64,BBBB"), Q, R) is None
    assert await world.find(user("What is this?"), Q, R) is None


def test_content_of_any_shape_has_a_text_of_its_own() -> None:
    assert [content_text(c) for c in (None, "", [], [{"type": "text", "text": ""}])] == [""] * 4
    odd: list[object] = [7, 8, [None], [{"type": "text"}], [{"text": 3}], {"a": [1]}, ["a", {"b": float("nan")}], [[]]]
    assert len({content_text(c) for c in odd}) == len(odd)


def test_a_text_in_parts_is_that_text() -> None:
    assert content_text([{"type": "text", "text": "a b"}, {"type": "text", "text": " c"}]) == content_text("a b c")


# Tenants, models, scopes


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


# Ids and sealed state


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


async def test_sealed_state_is_exact_among_equal_conversations(world: World) -> None:
    first = await world.ask([P])
    await world.ask([P])
    assert hit(await world.find(P, Q, R, sealed=[world.handle(first)])) == (first.sid, "sealed", R[1])


async def test_sealed_state_survives_retrieved_text_and_another_system_text(world: World) -> None:
    s = await world.ask([("system", "It is 10:00."), user(RAG.format(P[1]))])
    request = [("system", "It is 10:01."), P, Q, R]
    assert await world.find(*request) is None
    assert hit(await world.find(*request, sealed=[world.handle(s)])) == (s.sid, "sealed", R[1])


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


async def test_keys_of_another_secret_find_nothing(world: World) -> None:
    await world.ask([P])
    assert await find(world.lookup([P, Q, R]), world.store, Keys(b"o" * 32), world.sealer) is None


# Hostile input and size

any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates included
turns = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool", "?"]), any_text))


@patient
@given(turns, any_text)
def test_keys_are_made_of_any_text_and_depend_on_canonical_text_only(messages: list[Turn], question: str) -> None:
    keys = Keys(SECRET)
    made = keys.for_suspension(messages, question)
    assert made == keys.for_suspension(messages, question)
    as_cleaned = keys.for_suspension([(role, canonical(text)) for role, text in messages], canonical(question))
    assert made.transcript_key == as_cleaned.transcript_key
    assert made.question_key == as_cleaned.question_key
    assert made.system_key == as_cleaned.system_key
    assert made.transcript_key == keys.transcript(visible([*messages, ("assistant", question)]))


@patient
@given(any_text)
def test_canonical_text_is_its_own_canonical_text(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@patient
@given(turns, turns)
def test_different_conversations_have_different_keys(a: list[Turn], b: list[Turn]) -> None:
    def seen(messages: list[Turn]) -> list[tuple[str, str]]:
        return [(turn.role, turn.canonical) for turn in visible(messages)]

    keys = Keys(SECRET)
    assert (keys.transcript(visible(a)) == keys.transcript(visible(b))) is (seen(a) == seen(b))


async def test_a_huge_history_takes_time_in_proportion(world: World) -> None:
    text = "word " * 400

    async def cost(num_messages: int) -> float:
        history = [(("user", "assistant")[k % 2], f"{k} {text}") for k in range(num_messages)]
        await world.ask([*history, P])
        start = time.process_time()
        for _ in range(3):
            assert (await world.find(*history, P, Q, R)) is not None
        return time.process_time() - start

    await cost(20)
    assert await cost(2000) < 30 * await cost(200)
