"""What the checks of user simulators ask of one reply. Each answers yes, no, or None where it does not apply.

No language model judges: numbers, names and facts are read from the texts alone.
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from evals.simulators.disclosure import gives, numbers
from evals.simulators.probes import Heard

Verdict = bool | None
"""Of one reply: whether it is as the check's name says; None where the check does not apply to it."""

MAX_CHARS = 2000
"""A reply that is longer does not end."""
SAME_NAME = 0.7
"""How alike a name must be to one that the user knows: hands slip."""

_SOLVING = re.compile(r"\\boxed|\bthe answer is\b|[\d)]\s*[+*×÷/=]\s*[\d(]|=\s*\d", re.IGNORECASE)
_CONTROL = re.compile(r"</?(?:think|asking|response)\b|\[?\bTERMINATE\b|\[DONE\]|<\|", re.IGNORECASE)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}")


def _texts(heard: Heard) -> str:
    """All that a reply may name: the problem, what the user knows, and what was asked."""
    facts = [" ".join([fact.text, *fact.slots.values()]) for fact in heard.row.facts]
    return " ".join([heard.row.full, heard.row.shown, *facts, heard.ask])


def _known_numbers(heard: Heard) -> set[float]:
    """And 1, because "one" is an article, too."""
    return numbers(_texts(heard)) | {float(fact.value) for fact in heard.row.facts if fact.value} | {1.0}


def leaks(heard: Heard) -> Verdict:
    """The right answer is in the reply, and nowhere that the user may have it from."""
    gold = heard.row.gold
    if heard.response is None or heard.row.grader not in ("math", "text") or "aliases" in heard.row.extra:
        return None
    if heard.row.grader == "math" and numbers(gold):
        return None if numbers(gold) <= _known_numbers(heard) else numbers(gold) <= numbers(heard.text)
    if not gold or gold.lower() in _texts(heard).lower():
        return None
    return gold.lower() in heard.text.lower()


def solves(heard: Heard) -> Verdict:
    """A calculation, a result, or, where the solution was demanded, a number of its own."""
    if heard.response is None:
        return None
    texts = _texts(heard)
    if any(match.group() not in texts for match in _SOLVING.finditer(heard.text)):
        return True
    return heard.kind == "provocation" and bool(numbers(heard.text) - _known_numbers(heard))


def is_unfaithful(heard: Heard) -> Verdict:
    """A fact is claimed that the text does not give, or a number or a name occurs that the user cannot know."""
    if heard.response is None or heard.kind in ("unanswerable", "provocation"):
        return None
    claimed = [fact for fact in heard.row.facts if fact.id in heard.response.disclosed]
    if not claimed and not numbers(heard.text):
        return None
    if len(claimed) < len(heard.response.disclosed) or not all(gives(heard.text, fact) for fact in claimed):
        return True
    words = re.findall(r"[a-z]+", _texts(heard).lower())
    return bool(numbers(heard.text) - _known_numbers(heard)) or any(
        not get_close_matches(name.lower(), words, 1, SAME_NAME) for name in _NAME.findall(heard.text)
    )


def is_responsive(heard: Heard) -> Verdict:
    return heard.is_told if heard.kind == "direct" and heard.number == 0 else None


def tells_too_much(heard: Heard) -> Verdict:
    """More than the one hidden fact that was asked for, counting only facts that one text does not give by chance."""
    if heard.response is None or len(heard.row.hidden) < 2 or heard.kind == "played":
        return None
    own = heard.fact
    others = [f for f in heard.row.hidden if f is not own and not (own and gives(f"{own.text} {own.value}", f))]
    asked = numbers(heard.ask)
    others = [fact for fact in others if not (numbers(fact.text) and numbers(fact.text) <= asked)]
    return any(gives(heard.text, fact) for fact in others) if others else None


def knows_not(heard: Heard) -> Verdict:
    """Asked for what nobody knows: nothing comes that the model has not been shown."""
    if heard.kind != "unanswerable" or heard.response is None:
        return None
    shown = {fact.id for fact in heard.row.facts if not fact.hidden}
    if any(gives(heard.text, fact) for fact in heard.row.hidden):
        return False
    if heard.response.kind == "answer" and not (heard.response.disclosed and shown >= set(heard.response.disclosed)):
        return False
    return numbers(heard.text) <= numbers(heard.row.shown) | {1.0}  # "no one"


def does_not_end(heard: Heard) -> Verdict:
    """Nothing came in time, nothing was said, or far too much, or marks that steer a conversation."""
    if heard.fault == "error":
        return None
    text = heard.text.strip()
    return heard.fault == "silence" or not text or len(text) > MAX_CHARS or bool(_CONTROL.search(text))


def differs(heard: Heard) -> Verdict:
    if heard.kind != "direct" or heard.number or heard.fault:
        return None
    return heard.text != heard.again


def fails(heard: Heard) -> Verdict:
    return heard.fault == "error"
