"""What must not get into asking data: leaks, given-away answers, broken tags, replies that the reasoning contradicts.

Each check is a rule over texts, so that what a run turned down can be understood and repeated; what it cannot see (a reply
that is false in words) is left to whoever reads the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pir_serve.markup import TAGS
from training.writer import Exchange, Place

MAX_QUESTION_CHARS = 300
MAX_REPLY_CHARS = 600

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[^\W\d_]+")
_BOX = re.compile(r"\\boxed\{([^{}]*)\}")
_SPECIAL = re.compile(r"<\|[^|<>]*\|>|<｜[^｜]*｜>")
_MENTIONS = re.compile(
    r"\b(reasoning|chain of thought|trace|next step|later steps?|final answer|correct answer|solution)\b", re.IGNORECASE
)

Check = Callable[[Exchange, Place, Sequence[Exchange]], bool]
"""(what was written, where, what was put in before it) -> whether it must be turned down."""


def numbers(text: str) -> set[str]:
    """As they are compared: without separators of thousands, `7.50` as `7.5`."""
    found = (match.replace(",", "") for match in _NUMBER.findall(text))
    return {n.rstrip("0").rstrip(".") if "." in n else n.lstrip("0") or "0" for n in found}


def final_answer(place: Place) -> str:
    """What stands in the last box, else all of a short answer, else nothing."""
    boxes = _BOX.findall(place.answer)
    if boxes:
        return str(boxes[-1])
    return place.answer if len(place.answer) <= 60 else ""


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _declined(e: Exchange, place: Place, before: Sequence[Exchange]) -> bool:
    return not (e.question.strip() and e.reply.strip())


def _malformed(e: Exchange, place: Place, before: Sequence[Exchange]) -> bool:
    both = e.question + e.reply
    too_long = len(e.question) > MAX_QUESTION_CHARS or len(e.reply) > MAX_REPLY_CHARS
    return too_long or any(tag in both for tag in TAGS.all()) or bool(_SPECIAL.search(both))


def _no_question(e: Exchange, place: Place, before: Sequence[Exchange]) -> bool:
    return not e.question.strip().endswith(("?", "？", "؟"))


def _leak(e: Exchange, place: Place, before: Sequence[Exchange]) -> bool:
    """The question holds what only the reply can tell, or speaks of what the user has never seen."""
    known = numbers(place.task + place.before)
    told = numbers(e.reply) - known
    repeats = len(_plain(e.reply)) > 12 and _plain(e.reply).rstrip(".") in _plain(e.question)
    return bool(told & numbers(e.question)) or repeats or bool(_MENTIONS.search(e.question + e.reply))


def _gives_answer(e: Exchange, place: Place, before: Sequence[Exchange]) -> bool:
    """The reply is the task's answer, and nobody knew that yet."""
    final, known = final_answer(place), place.task + place.before
    if "\\boxed" in e.reply:
        return True
    if numbers(final):
        return numbers(final) <= numbers(e.reply) - numbers(known)
    return (
        len(_WORD.findall(final)) > 0
        and _plain(final).strip(". ") in _plain(e.reply)
        and _plain(final) not in _plain(known)
    )


def _contradiction(e: Exchange, place: Place, before: Sequence[Exchange]) -> bool:
    """The reply rests on words that are not in the rest of the reasoning, or on a number that is nowhere in it."""
    rest = place.step + "\n" + place.rest
    if len(_plain(e.evidence)) < 4 or _plain(e.evidence) not in _plain(rest):
        return True
    return not numbers(e.reply) <= numbers(rest + place.task + place.before)


def _repeated(e: Exchange, place: Place, before: Sequence[Exchange]) -> bool:
    return any(_plain(e.question) == _plain(earlier.question) for earlier in before)


CHECKS: dict[str, Check] = {
    "declined": _declined,
    "malformed": _malformed,
    "not a question": _no_question,
    "gives the answer away": _gives_answer,
    "leak": _leak,
    "contradicts later steps": _contradiction,
    "asked before": _repeated,
}
"""Name of the reason -> its check, in the order in which they are made."""


def rejection(exchange: Exchange, place: Place, before: Sequence[Exchange] = ()) -> str | None:
    """Why this exchange must not be put in; None if it may."""
    return next((reason for reason, check in CHECKS.items() if check(exchange, place, before)), None)
