"""The user's words out of what clients send back from their question tools, and the question out of their calls."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pir_serve.ask_tools import Answer, question_of, unwrap

Q = "How many pens does Nora buy?"
CONTINUE = "You can now continue with the user's answers in mind."


def claude(answer: str, lead: str = "User has answered your questions", more: str = "") -> str:
    return f'{lead}: "{Q}"="{answer}"{more}. {CONTINUE}'


@pytest.mark.parametrize(
    ("content", "text"),
    [
        # plain words, as SDK users and the Vercel, LangChain and Agents tools send them
        ("She buys 6.", "She buys 6."),
        ("  6\n", "6"),
        ("6", "6"),
        ("yes", "yes"),
        ("unanswered", "unanswered"),
        ('"6"', "6"),
        ('"a" or "b"', '"a" or "b"'),
        ("Error: file not found", "Error: file not found"),
        ("Each question has two parts", "Each question has two parts"),
        ("{6 or 7}", "{6 or 7}"),
        ("[6]", "[6]"),
        ([{"type": "text", "text": "She buys"}, {"type": "text", "text": "6."}], "She buys\n6."),
        ([{"type": "input_text", "text": '{"answer": "6"}'}], "6"),
        ([{"type": "text", "text": "6"}, {"type": "image_url", "image_url": {"url": "data:"}}], "6"),
        (6, "6"),
        (True, "yes"),
        # Open WebUI
        ({"status": "answered", "answers": {"question": {"type": "option", "option_index": 0, "label": "metric",
                                                         "description": "as in France"}}}, "metric"),
        ({"status": "answered", "answers": {"question": {"type": "other", "text": "about 6"}}}, "about 6"),
        ({"status": "answered", "answers": {"a": {"type": "other", "text": "6"}, "b": {"type": "other", "text": "red"}}},
         "a: 6\nb: red"),
        # LibreChat, and MCP elicitation
        ({"answer": "6"}, "6"),
        ({"answers": {"question": "6, 7"}}, "6, 7"),
        ({"answers": {"question": "6", "colour": ""}}, "6"),
        ({"action": "accept", "content": {"number": 6}}, "6"),
        ({"action": "accept", "content": {"number": 6, "gift": True}}, "number: 6\ngift: yes"),
        ({"content": [{"type": "text", "text": "6"}], "isError": False}, "6"),
        # Claude Code: prose, and the tool's own output
        (claude("6"), "6"),
        (claude('6, or "half a dozen"'), '6, or "half a dozen"'),
        (claude("6", "Your questions have been answered"), "6"),
        (claude("6", more=" user notes: blue ones"), "6 (blue ones)"),
        (claude("6", more=" selected preview:\n| pens |\n user notes: blue").replace("|\n user", '|" user'), "6 (blue)"),
        (f'User has answered your questions: "Pens?"="6", "Colour?"="red". {CONTINUE}', "Pens?: 6\nColour?: red"),
        ({"questions": [{"question": Q, "header": "Pens", "options": [], "multiSelect": False}], "answers": {Q: "6"}}, "6"),
        ({"questions": [], "answers": {Q: "6", "Colour?": "red"}}, "6\nColour?: red"),
        ({"questions": [], "answers": {Q: "6"}, "annotations": {Q: {"notes": "blue ones"}}}, "6 (blue ones)"),
        ({"questions": [], "answers": {}, "response": "whatever she can carry"}, "whatever she can carry"),
        ("The user doesn't want to proceed with this tool use. To tell you how to proceed, the user said:\nbuy 6",
         "buy 6"),
        (f'The user wants to clarify these questions.\n\n    Questions asked:\n- "{Q}"\n  Answer: 6', "6"),
        # codex
        ({"answers": {"question": {"answers": ["metric"]}}}, "metric"),
        ({"answers": {"question": {"answers": ["None of the above", "user_note: furlongs"]}}}, "furlongs"),
        ({"answers": {"question": {"answers": ["metric", "user_note: mostly"]}}}, "metric, mostly"),
        # gemini-cli, opencode and others that number their answers
        ({"answers": {"0": "6"}}, "6"),
        (claude("red, blue"), "red, blue"),
        ({"answers": [["6"], ["red", "blue"]]}, "6, red, blue"),
        ({"answers": [{"id": "question", "selected": [], "custom": "6"}]}, "6"),
        ({"answers": [{"id": "question", "selected": ["6"]}]}, "6"),
        # what the user wrote stays as it is, JSON too
        ('{"name": "Nora", "pens": 6}', '{"name": "Nora", "pens": 6}'),
        ('[{"pens": 6}]', '[{"pens": 6}]'),
        ('{"status": "cancelled", "order": 5}', '{"status": "cancelled", "order": 5}'),
        ({"name": "Nora"}, '{"name": "Nora"}'),
    ],
)  # fmt: skip
def test_the_users_words_come_out(content: Any, text: str) -> None:
    assert unwrap(content, Q) == Answer(text)
    if isinstance(content, dict):
        assert unwrap(json.dumps(content), Q) == Answer(text)
        assert unwrap(json.dumps(json.dumps(content)), Q) == Answer(text)
        assert unwrap([{"type": "text", "text": json.dumps(content)}], Q) == Answer(text)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n", "empty"),
        ([], "empty"),
        ('""', "empty"),
        ([{"type": "image_url", "image_url": {"url": "data:"}}], "empty"),
        ({"status": "answered", "answers": {}}, "empty"),
        ({"status": "answered"}, "empty"),
        ({"answers": {"question": {"answers": []}}}, "empty"),
        ({"answer": None}, "empty"),
        ({"action": "accept", "content": {}}, "empty"),
        (claude("Unanswered"), "empty"),
        ({"status": "cancelled", "answers": {}, "timed_out": True}, "timed_out"),
        ({"questions": [], "answers": {}, "afkTimeoutMs": 60000}, "timed_out"),
        ({"status": "timeout"}, "timed_out"),
        ({"status": "cancelled", "answers": {}}, "declined"),
        ({"action": "decline"}, "declined"),
        ({"action": "cancel", "content": None}, "declined"),
        ({"cancelled": True}, "declined"),
        ("Error: tool call rejected by user.", "declined"),
        ("User declined to answer questions", "declined"),
        ("The user doesn’t want to proceed with this tool use. STOP what you are doing", "declined"),
        ("The user wants to clarify these questions.\n\n    Questions asked:\n  (No answer provided)", "declined"),
        ("request_user_input was cancelled before receiving a response", "declined"),
        ("The user dismissed this question", "declined"),
        ("Error: The user dismissed this question", "declined"),
        ("User dismissed ask_user dialog without answering.", "declined"),
        ({"status": "error", "error": "User input requires an active browser session."}, "failed"),
        ({"content": [{"type": "text", "text": "no such dialog"}], "isError": True}, "failed"),
        ("Error: Each question requires 2-3 options.", "failed"),
        ("Error: ask_user must be the only tool call, so it did not run. Call ask_user on its own.", "failed"),
        ("request_user_input is unavailable in Default mode", "failed"),
        ("<tool_use_error>InputValidationError</tool_use_error>", "failed"),
    ],
)
def test_no_answer_is_told_with_its_reason(content: Any, reason: str) -> None:
    assert unwrap(content, Q) == Answer(None, reason)  # type: ignore[arg-type]
    if isinstance(content, dict):
        assert unwrap(json.dumps(content), Q) == Answer(None, reason)  # type: ignore[arg-type]


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                st.sampled_from(["answers", "answer", "status", "type", "text", "content", "annotations", "response"]),
                st.sampled_from(["questions", "question", "selected", "error", "timed_out", "action", "options"]),
                st.text(max_size=5),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)


@given(JSON, st.text(max_size=10))
@example([[[[[[[[[[[["deep"]]]]]]]]]]]], "")
@example("[" * 100_000, "")
@example('{"answers":' * 100_000, "")
@example('"' + "\\" * 1000 + '"', "")
@example("NaN", "")
@example("1" * 10_000, "")
@example("\ud800", "\ud800")
@example({"answers": {"\ud800": "\ud800"}}, "")
def test_nothing_that_a_client_sends_makes_it_raise(content: Any, question: str) -> None:
    for sent in (content, json.dumps(content), [{"type": "text", "text": json.dumps(content)}]):
        answer = unwrap(sent, question)
        assert (answer.text is None) == (answer.declined is not None)
        assert answer.text is None or answer.text.strip()
        found = question_of(sent)
        assert found is None or found


@given(st.text(st.characters(exclude_characters='{["<'), min_size=1).filter(str.strip))
def test_plain_words_are_never_changed(said: str) -> None:
    if not said.lower().startswith(("error: ", "the user ", "user ", "your questions ", "request_user_input ")):
        assert unwrap(said, Q) == Answer(said.strip())


@given(said=st.text(min_size=1).filter(str.strip))
def test_words_come_back_out_of_structured_answers(said: str) -> None:
    for shape in ({"answer": said}, {"answers": {"question": {"type": "other", "text": said}}}):
        assert unwrap(json.dumps(shape), Q) == Answer(said.strip())


@pytest.mark.parametrize(
    ("arguments", "question"),
    [
        ({"question": Q}, Q),
        ({"questions": [{"question": Q, "options": []}]}, Q),
        ({"questions": [{"text": Q}]}, Q),
        ({"questions": [Q, "Which colour?"]}, f"{Q}\nWhich colour?"),
        ({"questions": [{"question": Q}, {"question": "Which colour?"}]}, f"{Q}\nWhich colour?"),
        ({"questions": json.dumps([{"question": Q}])}, Q),
        ({"timeout_ms": 120000, "allow_other": True, "questions": [{"header": "A longer header than the question?",
                                                                    "id": "q", "question": Q, "allow_other": True}]}, Q),
        ({"title": "Pens", "clarification": Q}, Q),
        (Q, Q),
        ({}, None),
        ({"questions": []}, None),
        ({"question": ""}, None),
        ("{", None),
        ("", None),
        (None, None),
        (6, None),
    ],
)  # fmt: skip
def test_the_question_comes_out_of_a_call(arguments: Any, question: str | None) -> None:
    assert question_of(arguments) == question
    if isinstance(arguments, dict):
        assert question_of(json.dumps(arguments, indent=2, sort_keys=True)) == question


def test_a_hostile_answer_costs_little() -> None:
    parts = ('" user notes: ', '" selected preview:', '"a"="b", ', " ", "\n", "You can now continue with ", "Answer: ")
    leads = (
        "",
        f'User has answered your questions: "{Q}"="',
        "The user wants to clarify these questions.",
        '{"answers":{',
    )
    start = time.process_time()
    for lead in leads:
        for part in parts:
            unwrap(lead + part * 20_000, Q)
    unwrap({"answers": {str(n): "x" for n in range(50_000)}}, Q)
    assert time.process_time() - start < 2.0
