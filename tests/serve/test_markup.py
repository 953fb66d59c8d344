"""Tags as they stream, cut anywhere, and tags kept out of what users write."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pir_serve.markup import (
    TAGS,
    AnswerText,
    AskDone,
    AskStarted,
    Event,
    Malformed,
    ReasoningText,
    State,
    StreamParser,
    neutralise,
    render_ask,
)

MODEL_TEXT = st.lists(
    st.sampled_from([*TAGS.all(), "<", "</", ">", "<ask", "asking>", "</think", " ", "\n", "a", "How?", "é", "😀"]),
    max_size=14,
).map("".join)


def read(*chunks: str, state: State = State.THINK) -> list[Event]:
    """All events of a leg, neighbouring texts of one kind merged."""
    parser = StreamParser(state=state)
    events = [event for chunk in chunks for event in parser.feed(chunk)] + parser.finish()
    merged: list[Event] = []
    for event in events:
        last = merged[-1] if merged else None
        if isinstance(event, ReasoningText) and isinstance(last, ReasoningText):
            merged[-1] = ReasoningText(last.text + event.text)
        elif isinstance(event, AnswerText) and isinstance(last, AnswerText):
            merged[-1] = AnswerText(last.text + event.text)
        else:
            merged.append(event)
    return merged


LEGS = {
    "an ask ends the leg": (
        "2 and 3.\n<asking> How many? </asking>\nmore",
        [ReasoningText("2 and 3.\n"), AskStarted(), AskDone("How many?", 37)],
    ),
    "an answer": ("So 5.\n</think>\n5", [ReasoningText("So 5.\n"), AnswerText("\n5")]),
    "an answer is literal": (
        "</think>a <asking>b</asking> <response> </think>",
        [AnswerText("a <asking>b</asking> <response> </think>")],
    ),
    "no tag at all": ("hm", [ReasoningText("hm"), Malformed("missing_think_close")]),
    "nothing": ("", [Malformed("missing_think_close")]),
    "half a tag at the end": ("1 </thi", [ReasoningText("1 </thi"), Malformed("missing_think_close")]),
    "what only begins like a tag": ("a<b <ask me> </think>", [ReasoningText("a<b <ask me> ")]),
    "empty ask": ("<asking> \n</asking>", [AskStarted(), Malformed("empty_ask"), AskDone("", 19)]),
    "nested ask": (
        "<asking>How <asking>many?</asking>",
        [AskStarted(), Malformed("nested_ask"), AskDone("How many?", 34)],
    ),
    "unopened ask close": (
        "a</asking>b</think>",
        [ReasoningText("a"), Malformed("unopened_ask_close"), ReasoningText("b")],
    ),
    "text ends inside an ask": (
        "a<asking>How</ask",
        [
            ReasoningText("a"),
            AskStarted(),
            Malformed("unclosed_ask"),
            ReasoningText("How</ask"),
            Malformed("missing_think_close"),
        ],
    ),
    "think block ends inside an ask": (
        "<asking>How</think>5",
        [AskStarted(), Malformed("unclosed_ask"), ReasoningText("How"), AnswerText("5")],
    ),
    "model answers itself": (
        "a<response>3</response>b</think>",
        [
            ReasoningText("a"),
            Malformed("response_by_model"),
            ReasoningText("3"),
            Malformed("response_by_model"),
            ReasoningText("b"),
        ],
    ),
    "response inside an ask": (
        "<asking>How<response>?</asking>",
        [AskStarted(), Malformed("response_by_model"), AskDone("How?", 31)],
    ),
    "think opened twice": ("<think>\na</think>", [Malformed("reopened_think"), ReasoningText("\na")]),
    "think opened in the answer": (
        "</think>a<think>b",
        [AnswerText("a<think>"), Malformed("reopened_think"), AnswerText("b")],
    ),
    "other case is other text": ("<Asking>a</ASKING></think>", [ReasoningText("<Asking>a</ASKING>")]),
}


@pytest.mark.parametrize(("text", "events"), LEGS.values(), ids=LEGS)
def test_a_leg_reads_the_same_whole_and_cut_at_every_position(text: str, events: list[Event]) -> None:
    assert read(text) == events
    assert read(*text) == events
    for cut in range(len(text) + 1):
        assert read(text[:cut], text[cut:]) == events


@given(MODEL_TEXT, st.data())
@settings(max_examples=400, deadline=None)
def test_how_a_text_is_cut_changes_no_event(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    chunks = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
    for state in (State.THINK, State.ANSWER):
        assert read(*chunks, state=state) == read(text, state=state)


@given(MODEL_TEXT)
@settings(max_examples=400, deadline=None)
def test_no_character_is_lost_but_tags_and_what_follows_an_ask(text: str) -> None:
    events = read(text)
    shown = "".join(e.text for e in events if isinstance(e, ReasoningText | AnswerText | AskDone))
    asks = [e for e in events if isinstance(e, AskDone)]
    read_part = text[: asks[0].end] if asks else text
    reasoning, _, answer = read_part.partition(TAGS.think_close)
    if asks:
        assert events[-1] is asks[0]
        assert read_part.endswith(TAGS.ask_close)
    untagged = re.sub("|".join(map(re.escape, TAGS.all())), "", reasoning) + answer
    # The question is stripped, so white space is compared apart from it.
    assert "".join(shown.split()) == "".join(untagged.split())
    if not asks:
        assert shown == untagged


@given(MODEL_TEXT)
@settings(deadline=None)
@example("<th<think>ink></thi")
def test_only_a_possible_tag_is_held_back(text: str) -> None:
    parser = StreamParser()
    shown = [e.text for e in parser.feed(text) if isinstance(e, ReasoningText)]
    held = "".join(e.text for e in parser.finish() if isinstance(e, ReasoningText))
    if "<asking>" not in text:
        assert held == "" or any(tag.startswith(held) for tag in TAGS.all())
        # Piece by piece: a dropped tag may stand between the halves of what looks like one.
        assert not any(tag in piece for tag in TAGS.all() for piece in shown)


def test_after_an_ask_the_leg_is_over() -> None:
    parser = StreamParser()
    parser.feed("<asking>How many?</asking> and")
    assert parser.state is State.ASKED
    assert parser.feed("</think>5<asking>") == []
    assert parser.finish() == []


def test_a_question_is_not_shown_before_it_is_whole() -> None:
    parser = StreamParser()
    assert parser.feed("<asking>What is your pass") == [AskStarted()]
    assert parser.feed("word?") == []


@given(st.text(max_size=40))
@settings(deadline=None)
def test_what_is_rendered_is_read_again(question: str) -> None:
    question = neutralise(question).strip()
    events = read("x" + render_ask(question))
    assert events[-1] == AskDone(question, len("x" + render_ask(question)))


def test_a_long_text_of_tags_takes_no_quadratic_time() -> None:
    events = read("</asking>a" * 20_000 + "</think>")
    assert len(events) == 40_000


# --- neutralise -------------------------------------------------------------------------------------------------

DISGUISES = [
    "<think>", "</think>", "<asking>", "</asking>", "<response>", "</response>", "</RESPONSE>", "<Think>", "< /think >",
    "</ response>", "<\tasking\n>", "<//think>", "<think/>", "＜think＞", "﹤/response﹥", "<／think>", "<think＞",
    "<thi\u200bnk>", "<\ufeffasking>", "</respon\u00adse>", "<t\u2060hink>", "<t\u0301hink>", "<thínk>", "<ｔｈｉｎｋ>",
    "<𝐭𝐡𝐢𝐧𝐤>", "<ⓐⓢⓚⓘⓝⓖ>", "<a\u017fking>", "<as\u212aing>", "<ask㏌g>", "<respo㎱e>",
    "≮think≯", "<\x00think>", "<th\ue000ink>", "<th\U00100005ink>", "<\u3164think>",
    "<th\ud800ink>", "<\u202ethink\u202c>",
]  # fmt: skip

HARMLESS = [
    "", "How many?", "a < b and b > c", "<b>bold</b>", "<thinking>", "<ask>", "think", "/think", "<think", "think>",
    "x <- y -> z", "<response time>", "<|im_end|>", "if a<asking and response>b", "‹think›", "List<Response<T>>",
    "中文＜b＞", "<rethink>", "<think-tank>", "3 ≮ 4", "\u200b", "\ud800",
]  # fmt: skip


def _reads_like_a_tag(text: str) -> bool:
    """An independent, whole-text reading: fold everything, then look for tags."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    drop = {"Cc", "Cf", "Cn", "Co", "Cs", "Mc", "Me", "Mn", "Zl", "Zp", "Zs"}
    blanks = "\u115f\u1160\u3164\uffa0\u2800"
    folded = "".join(c for c in folded if unicodedata.category(c) not in drop and c not in blanks)
    return re.search(r"<[/⁄∕]*(think|asking|response)[/⁄∕]*>", folded) is not None


@pytest.mark.parametrize("text", DISGUISES)
def test_a_tag_in_disguise_is_made_harmless(text: str) -> None:
    assert _reads_like_a_tag(text), "the table itself is wrong"
    for around in ("", "a", "<", ">", "</", "<thi"):
        assert not _reads_like_a_tag(neutralise(around + text + around))
    assert len(neutralise(text)) == len(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert neutralise(text) == text


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from([*DISGUISES, "<", ">", "/", "＜", "think", "asking", "response", " ", "\u200b", "‹", "\u0338"]),
        st.characters(),
    ),
    max_size=12,
).map("".join)


@given(HOSTILE)
@settings(max_examples=600, deadline=None)
@example("<<think>>")
@example("<thi<think>nk>")
@example("</</response>response>")
def test_no_tag_comes_through_and_once_is_enough(text: str) -> None:
    safe = neutralise(text)
    assert not _reads_like_a_tag(safe)
    assert neutralise(safe) == safe
    if not _reads_like_a_tag(text):
        assert safe == text
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert not any(tag in unicodedata.normalize(form, safe) for tag in TAGS.all())


@given(HOSTILE)
@settings(max_examples=200, deadline=None)
def test_a_response_cannot_end_itself(text: str) -> None:
    rendered = f"\n<response>{neutralise(text)}</response>"
    events = read(rendered + "</think>")
    assert [e for e in events if isinstance(e, Malformed)] == [Malformed("response_by_model")] * 2


def test_every_character_that_decomposes_to_a_bracket_is_known() -> None:
    for bracket, tag in (("<", "{}think>"), (">", "<think{}")):
        for code in range(0x110000):
            c = chr(code)
            if bracket in unicodedata.normalize("NFKD", c):
                assert neutralise(tag.format(c)) != tag.format(c), hex(code)


def test_long_hostile_text_takes_no_quadratic_time() -> None:
    text = ("<" + " " * 50) * 4_000 + "<think" * 4_000 + "<" + "\u200b" * 100_000
    assert neutralise(text) == text
