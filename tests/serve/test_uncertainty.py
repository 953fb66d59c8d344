"""Reasoning steps and their predictive entropy: by hand, and the same however the text is cut."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pir_serve.markup import TAGS
from pir_serve.uncertainty import (
    FLOOR,
    MAX_STEP_CHARS,
    Step,
    StepScorer,
    auroc,
    split_steps,
    steps_from_chat,
    steps_from_logprobs,
)

LONG = "word " * (MAX_STEP_CHARS // 5 + 1)


def texts(text: str) -> list[str]:
    return [text[a:b] for a, b in split_steps(text)]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        (" \n\n", []),
        ("one", ["one"]),
        ("one\ntwo\n", ["one\n", "two\n"]),
        ("one\n\n \ntwo", ["one\n\n \n", "two"]),
        ("\n\none\n", ["\n\none\n"]),
        ("one. two. three.\nfour", ["one. two. three.\n", "four"]),
        ("a\n<asking>which?</asking>\n<response>b</response>\nc", ["a\n", "\nc"]),
        ("a <asking>x\ny</asking>", ["a "]),
        ("a\n</think>\nthe answer\n", ["a\n"]),
        ("a <asking>x</think>y", ["a "]),
        ("a <asking>never closed\n b", ["a "]),
        ("<think>\na\nb", ["\na\n", "b"]),
        ("a<b\nc</d\n", ["a<b\n", "c</d\n"]),
        ("half a tag </thi", ["half a tag </thi"]),
        (LONG + "end. Next one. And on.\nlast", [LONG + "end. ", "Next one. And on.\n", "last"]),
        ("a" * (MAX_STEP_CHARS - 2) + ". b", ["a" * (MAX_STEP_CHARS - 2) + ". b"]),
        ("a" * (MAX_STEP_CHARS - 1) + ". b", ["a" * (MAX_STEP_CHARS - 1) + ". ", "b"]),
        (LONG + "costs 3.5 a.b end", [LONG + "costs 3.5 a.b end"]),
        (LONG + 'he said "yes." So', [LONG + 'he said "yes." ', "So"]),
        (LONG + "完。」后面。", [LONG + "完。」", "后面。"]),
    ],
)
def test_steps_are_lines_and_the_sentences_of_long_lines(text: str, steps: list[str]) -> None:
    assert texts(text) == steps


PIECE = st.sampled_from(
    [
        *TAGS.all(),
        "a",
        "b.",
        " ",
        "\n",
        "\n\n",
        "is 3.5",
        "<",
        "</",
        "ask",
        "。",
        "word " * 30,
        "x" * 250,
        "é",
        "!",
        '"',
    ]
)
TOKENS = st.lists(st.tuples(PIECE, st.floats(-30, 0)), max_size=25)


@given(st.lists(PIECE, max_size=20).map("".join))
@settings(deadline=None)
def test_steps_stand_in_order_apart_and_hold_no_tag(text: str) -> None:
    spans = split_steps(text)
    assert all(0 <= a < b <= len(text) for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert all(text[a:b].strip() and not any(tag in text[a:b] for tag in TAGS.all()) for a, b in spans)
    if not any(tag in text for tag in TAGS.all()):
        assert "".join(text[a:b] for a, b in spans) == (text if text.strip() else "")


def test_entropy_is_the_mean_surprisal_of_the_tokens_that_begin_in_the_step() -> None:
    tokens = ["The", " cost", " is", " 4", ".\n", "So", " 8", ".\nThen", " 9", "</think>", "9"]
    logprobs = [-0.1, -0.2, -0.3, -1.0, -0.4, -2.0, -4.0, -0.6, -1.0, -7.0, -9.0]
    steps = steps_from_logprobs(tokens, logprobs)
    assert [s.text for s in steps] == ["The cost is 4.\n", "So 8.\n", "Then 9"]
    assert [s.num_tokens for s in steps] == [5, 3, 1]
    assert [s.entropy for s in steps] == pytest.approx([0.4, 2.2, 1.0])
    # ".\nThen" straddles: it belongs where it begins.
    assert (steps[2].start, steps[2].end) == (21, 27)


def _scored(tokens: list[tuple[str, float]]) -> tuple[list[str], list[float]]:
    return [t for t, _ in tokens], [p for _, p in tokens]


@given(TOKENS)
@settings(max_examples=300, deadline=None)
def test_scoring_a_stream_token_by_token_equals_scoring_the_whole(tokens: list[tuple[str, float]]) -> None:
    scorer = StepScorer()
    steps = [step for text, p in tokens for step in scorer.feed(text, (0,), (p,))] + scorer.finish()
    assert steps == steps_from_logprobs(*_scored(tokens))


@given(TOKENS, st.data())
@settings(max_examples=300, deadline=None)
def test_scoring_chunks_of_many_tokens_equals_scoring_the_whole(
    tokens: list[tuple[str, float]], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(tokens)), max_size=5)))
    scorer = StepScorer(lambda ids: "".join(tokens[i][0] for i in ids))
    steps: list[Step] = []
    for a, b in pairwise([0, *cuts, len(tokens)]):
        # The engine's own text may lag behind the ids; with a decoder it is not needed.
        steps += scorer.feed("", range(a, b), [p for _, p in tokens[a:b]])
    assert steps + scorer.finish() == steps_from_logprobs(*_scored(tokens))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_tag_in_pieces_is_a_tag_all_the_same(size: int) -> None:
    text = "a\n<asking>which?</asking>\n<response>b</response>\nc < d </think>e\nf"
    scorer = StepScorer()
    pieces = [text[k : k + size] for k in range(0, len(text), size)]
    steps = [step for piece in pieces for step in scorer.feed(piece, (0,), (-1.0,))] + scorer.finish()
    assert [(s.start, s.end) for s in steps] == split_steps(text)


def test_a_step_is_told_as_soon_as_the_next_begins() -> None:
    scorer = StepScorer()
    assert scorer.feed("one", (1,), (-1.0,)) == []
    assert scorer.feed("\n", (2,), (-3.0,)) == []
    assert scorer.feed("\n", (3,), (-2.0,)) == []
    assert scorer.feed("two", (4,), (-9.0,)) == [Step("one\n\n", 0, 5, 2.0, 3, 3.0)]
    assert scorer.feed("<asking>", (5,), (-9.0,)) == [Step("two", 5, 8, 9.0, 1, 9.0)]
    assert scorer.feed("what?</asking>", (6,), (-9.0,)) == []
    assert scorer.finish() == []


def test_chunks_without_a_decoder_share_their_text_evenly() -> None:
    scorer = StepScorer()
    steps = scorer.feed("aaaa\nbbbb\n", (1, 2), (-1.0, -3.0)) + scorer.finish()
    assert [(s.text, s.entropy) for s in steps] == [("aaaa\n", 1.0), ("bbbb\n", 3.0)]


def test_tokens_without_a_logprob_do_not_count() -> None:
    steps = steps_from_logprobs(["a", " b", "\n", "c\n"], [None, -2.0, float("nan"), None])
    assert steps == [Step("a b\n", 0, 4, 2.0, 1, 2.0)]
    scorer = StepScorer()
    assert scorer.feed("a\nb\n", (1, 2, 3)) + scorer.finish() == []


def test_entropy_is_finite_and_never_negative() -> None:
    steps = steps_from_logprobs(["a\n", "b\n", "c\n", "d\n"], [-math.inf, -9999.0, 1e-7, 0.0])
    assert [s.entropy for s in steps] == [-FLOOR, -FLOOR, 0.0, 0.0]
    assert all(math.copysign(1, s.entropy) == 1 for s in steps)


def test_chat_logprobs_with_a_character_in_two_tokens() -> None:
    content = [
        {"token": "caf", "logprob": -1.0, "bytes": list(b"caf")},
        {"token": "\\xc3", "logprob": -2.0, "bytes": [0xC3]},
        {"token": "\\xa9\n", "logprob": -3.0, "bytes": [0xA9, 0x0A]},
        {"token": "so", "logprob": -5.0, "bytes": None},
    ]
    assert steps_from_chat(content) == [Step("café\n", 0, 5, 2.0, 3, 3.0), Step("so", 5, 7, 5.0, 1, 5.0)]


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 tokens but 1"):
        steps_from_logprobs(["a", "b"], [-1.0])


# --- auroc ------------------------------------------------------------------------------------------------------


def test_auroc_of_known_tables() -> None:
    assert auroc([1, 2, 3, 4], [False, False, True, True]) == 1.0
    assert auroc([4, 3, 2, 1], [False, False, True, True]) == 0.0
    assert auroc([1, 1, 1, 1], [False, True, False, True]) == 0.5
    assert auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=30))
@settings(deadline=None)
def test_auroc_counts_pairs(rows: list[tuple[int, bool]]) -> None:
    scores, labels = [float(s) for s, _ in rows], [y for _, y in rows]
    pairs = [
        (p, n) for p, y in zip(scores, labels, strict=True) if y for n, z in zip(scores, labels, strict=True) if not z
    ]
    if not pairs:
        with pytest.raises(ValueError, match="one of each"):
            auroc(scores, labels)
    else:
        expected = sum((p > n) + (p == n) / 2 for p, n in pairs) / len(pairs)
        assert auroc(scores, labels) == pytest.approx(expected)


def test_a_leg_that_begins_inside_an_ask_has_no_step_before_it_ends() -> None:
    scorer = StepScorer(in_ask=True)
    steps = scorer.feed("How many", logprobs=(-1.0,)) + scorer.feed("?</asking>", logprobs=(-1.0,))
    assert steps == []
    assert scorer.feed("So 4.\nEnd", logprobs=(-0.5,))[0].text == "So 4.\n"
