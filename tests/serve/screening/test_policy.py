from __future__ import annotations

import pytest

from pir_serve.errors import RequestError
from pir_serve.policy import NEVER, AskPolicy, choose, is_housekeeping


@pytest.mark.parametrize(
    ("written", "max_asks"),
    [
        ("auto", None),
        ("AUTO ", None),
        ("never", 0),
        ("max=2", 2),
        ("max_questions=3", 3),
        ("2", 2),
        (0, 0),
        (4, 4),
        ({"max": 2}, 2),
        ({"max_questions": 1}, 1),
    ],
)
def test_policy_is_read_in_all_its_spellings(written: object, max_asks: int | None) -> None:
    assert AskPolicy.parse(written).max_asks == max_asks


@pytest.mark.parametrize(
    "written",
    [
        *("", "sometimes", "max=-1", "max=٣", "max=99999999", -1, 10_000, True, 1.5, [], {}, None),
        *({"min": 1}, {"max": "x"}, {"max": 1, "min": 1}),
    ],
)
def test_an_unreadable_policy_names_its_field_and_the_forms(written: object) -> None:
    with pytest.raises(RequestError, match="never") as caught:
        AskPolicy.parse(written, param="pir.ask")
    assert caught.value.param == "pir.ask"


def test_policy_prints_as_it_is_read() -> None:
    for text in ("auto", "never", "max=3"):
        assert str(AskPolicy.parse(text)) == text


def test_allows_counts_what_reached_the_user() -> None:
    assert AskPolicy().allows(100)
    assert not NEVER.allows(0)
    assert AskPolicy(2).allows(1)
    assert not AskPolicy(2).allows(2)


def test_a_refusal_has_a_name() -> None:
    assert AskPolicy().refusal(9) == "" and AskPolicy(2).refusal(1) == ""
    assert AskPolicy(2).refusal(2) == "max"
    assert NEVER.refusal(0) == "never"


def test_what_must_be_goes_before_what_is_asked_for() -> None:
    default = AskPolicy(7)
    assert choose(default) == default
    assert choose(default, suspended=AskPolicy(3)) == AskPolicy(3)
    assert choose(default, header="2", suspended=AskPolicy(3)) == AskPolicy(2)
    assert choose(default, body="auto", header="2") == AskPolicy()
    assert choose(default, body="auto", alias_never=True) == NEVER
    assert choose(default, body="auto", forced_never=True) == NEVER


def test_a_wrong_policy_is_an_error_even_where_it_would_not_decide() -> None:
    with pytest.raises(RequestError):
        choose(AskPolicy(), body="whatever", alias_never=True)


def test_an_error_names_where_the_policy_came_from_and_repeats_little_of_it() -> None:
    with pytest.raises(RequestError) as caught:
        choose(AskPolicy(), header="never ever " * 1000)
    assert caught.value.param == "X-PIR-Ask"
    assert len(caught.value.message) < 200


def test_housekeeping_needs_both_marks() -> None:
    task = "### Task:\nGenerate a concise title.\n<chat_history>\nUSER: hi\n</chat_history>"
    rag = "### Task:\nRespond to the user query using the provided context.\n<context>...</context>\nHow many pens?"
    assert is_housekeeping(task)
    assert is_housekeeping(f"\n  {task}")
    assert not is_housekeeping(rag)
    assert not is_housekeeping("What is a <chat_history> tag?")
