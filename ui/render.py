"""A conversation as HTML. All text is escaped here; what a button does is in its `data-act`, which `page.js` reports.

The page changes only what differs from the HTML before, so a growing thought neither flickers nor folds itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from ui.choices import quick_replies
from ui.conversation import Asked, Conversation, Part, Said, Step
from ui.prose import prose

DONT_KNOW = "I don't know."
_NO_ANSWER = {
    "max_tokens": "It ran out of tokens before it had an answer.",
    "context_length": "The conversation no longer fits the model.",
    "max_asks": "It asked more often than this gateway lets one reasoning ask.",
    "missing_think_close": "It stopped without an answer.",
    "unclosed_ask": "It stopped in the middle of a question.",
}
_IN_YOUR_PLACE = {
    "never": "asking is off",
    "max": "your limit of questions was reached",
    "declined": "you let it guess",
    "empty": "it asked nothing",
    "timed_out": "no answer came in time",
    "failed": "the question could not be shown",
}
_NATS_AT_TWO_THIRDS = 0.35
"""Where a bar is 63 % full. Steps of models that we have seen lie between 0 and 1.5 nats."""
_FLAT_NATS = 0.1
"""A sparkline reaches its full height at its highest step, or at this, so that noise does not look like doubt."""


def conversation_html(shown: Conversation, *, is_live: bool = False, can_act: bool = True) -> str:
    """The whole branch. `can_act`: with the buttons that answer, edit and switch."""
    earlier = "".join(_earlier(role, text) for role, text in shown.earlier)
    return f"""{earlier}{user_html(shown.problem)}
<article class="turn model" aria-label="Model">{thought_html(shown, is_live=is_live, can_act=can_act)}
{ask_html(shown.waiting, can_act=can_act) if shown.waiting else ""}{_answer(shown, is_live=is_live)}</article>
<p class="sr" role="status">{escape(_spoken(shown, is_live=is_live))}</p>"""


def pane_html(
    title: str, shown: Conversation | None, *, is_live: bool, verdict: str = "", note: str = "", user: str = "You"
) -> str:
    """A narrow rendering beside others, without the problem; a waiting question is answered in its card.

    `verdict`: `right` or `wrong`, where that is known. `note`: why nothing is shown. `user`: who responds.
    """
    if shown is None:
        return f'<section class="pane" aria-label="{escape(title)}"><h3>{escape(title)}</h3><p>{escape(note)}</p></section>'
    asked = [asked for asked in shown.asks if asked.by == "user" or asked.reason == "declined"]
    figures: list[tuple[str, object]] = [("questions", len(asked)), ("tokens", shown.tokens or 0)]
    figures += [] if shown.seconds is None else [("seconds", f"{shown.seconds:.1f}")]
    table = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    card = "" if shown.waiting is None else ask_html(shown.waiting, can_act=not is_live, has_box=True)
    mark = f'<span class="verdict {verdict}">{verdict}</span>' if verdict else ""
    return f"""<section class="pane" aria-label="{escape(title)}"><h3>{escape(title)}{mark}</h3><dl>{table}</dl>
{thought_html(shown, is_live=is_live, can_act=False, fold=f"pane-{title}", user=user)}{card}
{_answer(shown, is_live=is_live)}</section>"""


def thought_html(
    shown: Conversation, *, is_live: bool, can_act: bool = True, fold: str = "thought", user: str = "You"
) -> str:
    """The collapsible reasoning; asks that were answered are part of it."""
    parts = [part for part in shown.parts if part is not shown.waiting]
    items = "".join(_item(part, can_act=can_act, user=user) for part in parts)
    if is_live and not shown.answer and not shown.waiting:
        items += '<li class="step live"><span class="bar"></span><span class="caret" aria-hidden="true"></span></li>'
    elif not items:
        items = f'<li class="step none"><span class="bar"></span><span>{_nothing_shown(shown)}</span></li>'
    state = "Reasoning" if is_live else "Paused" if shown.waiting else "Reasoned"
    figures = [f"{shown.seconds:.1f} s"] if shown.seconds is not None else []
    figures += [f"{'~' if is_live else ''}{shown.tokens} tokens"] if shown.tokens is not None else []
    kind = "is-live" if is_live else "is-paused" if shown.waiting else "is-done"
    return f"""<details class="thought {kind}" data-fold="{escape(fold)}" open>
<summary><span class="dot" aria-hidden="true"></span><b>{state}</b><span class="figures">{" · ".join(figures)}</span>
{sparkline(shown.parts)}</summary>
<ol class="steps">{items}</ol></details>"""


def sparkline(parts: Sequence[Part]) -> str:
    """The entropy of each step as a line over the whole trajectory, a mark where the model asked; empty without."""
    points: list[tuple[float, float]] = []
    marks: list[float] = []
    for part in parts:
        if isinstance(part, Asked):
            marks.append(len(points))
        elif isinstance(part, Step) and part.entropy is not None:
            points.append((len(points) + 0.5, part.entropy))
    if not points:
        return ""
    width, height = 132, 26
    unit = (width - 8) / max(len(points), 1)
    top = max(y for _, y in points)
    tall = (height - 8) / max(top, _FLAT_NATS)
    line = " ".join(f"{4 + x * unit:.1f},{height - 4 - y * tall:.1f}" for x, y in points)
    asks = "".join(f'<path d="M{4 + x * unit:.1f} 3V{height - 3}" class="at-ask"/>' for x in marks)
    times = f", asked {len(marks)} time{'s' if len(marks) > 1 else ''}" if marks else ""
    label = f"Uncertainty over {len(points)} steps, at most {top:.2f} nats a token{times}"
    dots = "".join(f'<circle cx="{4 + x * unit:.1f}" cy="{height - 4 - y * tall:.1f}" r="2"/>' for x, y in points)
    return (
        f'<svg class="spark entropy" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{label}"><title>{label}</title>{asks}<polyline points="{line}"/>{dots}</svg>'
    )


def _item(part: Part, *, can_act: bool, user: str) -> str:
    match part:
        case Step():
            return f'<li class="step">{_bar(part.entropy)}<span>{escape(part.text)}</span></li>'
        case Said():
            return f'<li class="asked"><p class="reply"><b>You added</b> {escape(part.text)}</p></li>'
        case Asked():
            return answered_html(part, can_act=can_act, user=user)


def _bar(entropy: float | None) -> str:
    if entropy is None:
        return '<span class="bar"></span>'
    label = f"uncertainty {entropy:.2f} nats a token"
    return (
        f'<span class="bar entropy" role="img" aria-label="{label}" data-tip="{entropy:.2f} nats a token" '
        f'style="--filled:{_filled(entropy):.3f}"><i></i></span>'
    )


def _filled(entropy: float) -> float:
    return 1 - math.exp(-entropy / _NATS_AT_TWO_THIRDS)


def answered_html(asked: Asked, *, can_act: bool = False, user: str = "You") -> str:
    """A question and what was said to it, as an item of a list."""
    by_user = asked.by == "user"
    who = user if by_user else f"In your place ({_reason(asked.reason)})"
    actions = ""
    if can_act and asked.node:
        actions = _switch(asked) + _edit(asked)
    return f"""<li class="asked"><p class="question"><span class="q" aria-hidden="true">?</span><span><span class="sr">The
model asked: </span>{escape(asked.question)}</span></p>
<p class="reply"><b>{escape(who)}</b> <span class="said">{escape(asked.response or "")}</span></p>
<div class="actions">{actions}</div></li>"""


def _reason(reason: str) -> str:
    if reason.startswith("screen:"):
        return "the question was kept from you by a rule"
    return _IN_YOUR_PLACE.get(reason, reason or "no user")


def _switch(asked: Asked) -> str:
    """Which of several answers is followed, and buttons to the others."""
    if len(asked.branches) < 2:
        return ""
    number, count = asked.chosen + 1, len(asked.branches)

    def step(by: int, sign: str, label: str) -> str:
        to = asked.chosen + by
        there = f'data-node="{escape(asked.branches[to])}"' if 0 <= to < count else "disabled"
        return f'<button type="button" class="icon" data-act="switch" {there} aria-label="{label}">{sign}</button>'

    return (
        f'<span class="switch">{step(-1, "‹", "Answer before this one")}<span aria-label="Answer {number} of {count}">'
        f"{number} / {count}</span>{step(1, '›', 'Next answer')}</span>"
    )


def _edit(asked: Asked) -> str:
    node, text = escape(asked.node or ""), escape(asked.response or "") if asked.by == "user" else ""
    return f"""<details class="edit" data-fold="edit-{node}"><summary>Answer differently</summary>
<form data-act="revise" data-node="{node}"><textarea name="text" rows="2" aria-label="Another answer to:
{escape(asked.question)}">{text}</textarea><button type="submit" class="primary">Go on with this</button></form></details>"""


def ask_html(asked: Asked, *, can_act: bool, can_guess: bool = True, has_box: bool = False) -> str:
    """The card of the question that waits. `can_guess`: the model may be told to; `has_box`: with a box for the answer."""
    until = ""
    if asked.expires:
        until = f" It is kept until {datetime.fromtimestamp(asked.expires, UTC):%d %b, %H:%M} UTC, on any device."
    quick = "".join(_button("reply", text, text=text) for text in quick_replies(asked.question))
    guess = _button("guess", "Use your best guess") if can_guess else ""
    buttons = (
        f'<div class="replies" role="group" aria-label="Replies">{quick}'
        f"{_button('reply', 'I don’t know', text=DONT_KNOW)}{guess}</div>"
    )
    if has_box:
        label = f"Your answer to: {escape(asked.question)}"
        buttons += (
            f'<form data-act="reply"><textarea name="text" rows="1" placeholder="Your answer …" aria-label="{label}">'
            '</textarea><button type="submit" class="primary">Answer</button></form>'
        )
    else:
        buttons += '<p class="hint">Or write your answer below.</p>'
    return f"""<section class="ask" aria-label="The model asks"><p class="why"><span class="q" aria-hidden="true">?</span>
Reasoning paused: the problem does not say something that it needs.</p>
<p class="question">{escape(asked.question)}</p>{buttons if can_act else ""}
<p class="fine">Your answer goes into the same reasoning, which then goes on.{until}</p></section>"""


def _button(act: str, label: str, *, text: str = "") -> str:
    return f'<button type="button" class="chip" data-act="{act}" data-text="{escape(text)}">{escape(label)}</button>'


def _answer(shown: Conversation, *, is_live: bool) -> str:
    if shown.answer:
        return f'<div class="answer" aria-label="Answer"><span class="tag">Answer</span>{prose(shown.answer)}</div>'
    if is_live or shown.waiting:
        return ""
    why = _NO_ANSWER.get(shown.detail, shown.detail or "It ended without an answer.")
    return f'<div class="answer failed" role="note"><span class="tag">No answer</span><p>{escape(why)}</p></div>'


def user_html(text: str) -> str:
    return f'<article class="turn user" aria-label="You"><div class="bubble">{escape(text)}</div></article>'


def _earlier(role: str, text: str) -> str:
    if role == "user":
        return user_html(text)
    return f'<article class="turn model earlier" aria-label="Model"><div class="answer">{prose(text)}</div></article>'


def _nothing_shown(shown: Conversation) -> str:
    if shown.waiting or shown.answer:
        return "It wrote nothing before this." if shown.waiting else "This gateway does not show reasoning."
    return "Nothing was written."


def _spoken(shown: Conversation, *, is_live: bool) -> str:
    """For screen readers, once an event."""
    if shown.waiting:
        return f"The model asks: {shown.waiting.question}"
    if is_live:
        return "The model reasons."
    return "The answer is there." if shown.answer else "The reasoning ended without an answer."


def example_cards(problems: Iterable[str]) -> str:
    """What a first-time visitor sees: what this is, and problems that really make the model ask."""

    def cards() -> Iterator[str]:
        for text in problems:
            yield (
                f'<button type="button" class="card" data-act="begin" data-text="{escape(text)}">'
                f'<span>{escape(text)}</span><span class="go" aria-hidden="true">→</span></button>'
            )

    made = "".join(cards())
    shelf = f'<h2>Try one. Each of these lacks something.</h2><div class="cards">{made}</div>' if made else ""
    return f"""<div class="welcome"><div class="mark" aria-hidden="true">?</div>
<h1>A model that asks before it guesses</h1>
<p>Give it a problem. When a fact is missing, its reasoning stops and it asks you; your answer goes into the very same
reasoning, which then goes on.</p>{shelf}</div>"""
