"""Which facts a text gives, read from the text alone: so that no simulator has to be believed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from evals.problems.kinds import KINDS
from evals.problems.model import Fact
from evals.problems.numbers import WORDS
from evals.simulators.told import is_told, stems

MIN_SHARE = 0.6
"""Of the content words of a told fact without numbers, to count as given."""

_NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+")
_READINGS = {
    "each": {"each", "every", "one", "per", "a", "apiece"},
    "in all": {"all", "total", "altogether", "together", "whole"},
}


def numbers(text: str) -> set[float]:
    """The numbers that a text names, in digits or in words up to one hundred."""
    lowered = text.lower()
    found = {float(match.group().replace(",", "")) for match in _NUMBER.finditer(lowered)}
    words = re.findall(r"one hundred|[a-z]+(?:-[a-z]+)?", re.sub(r"[^\w\s-]", " ", lowered))
    parts = [[word] if word in WORDS else word.split("-") for word in words]  # "twenty-four", but "nine-hour"
    return found | {float(WORDS[word]) for some in parts for word in some if word in WORDS}


def gives(text: str, fact: Fact) -> bool:
    """Whether a listener who hears `text` has the fact.

    A number must be there in digits or words; a reading by one of its words; a told fact by all its numbers, or if it
    has none, by most of its content words. Letters may have slipped in longer words.
    """
    if is_told(fact):
        return _gives_told(text, fact)
    kind = KINDS[fact.kind]
    if not kind.reading:
        return float(fact.value) in numbers(text)
    words = set(re.findall(r"[a-z]+", text.lower()))
    return bool(words & _READINGS.get(fact.unit, set(fact.unit.split())))


def _gives_told(text: str, fact: Fact) -> bool:
    said, own = numbers(text), numbers(fact.text)
    digits = {float(match.group().replace(",", "")) for match in _NUMBER.finditer(fact.text)}
    if digits or (own and fact.kind != "sentence"):
        return (digits or own) <= said
    words, heard = set(stems(fact.text)), set(stems(text))
    if fact.slots.get("ask"):  # of "Type of diabetes: Type 2." only the second half is news
        words = set(stems(fact.text.partition(":")[2])) or words
    return bool(words) and len(words & heard) / len(words) >= MIN_SHARE


def given(text: str, facts: Iterable[Fact]) -> tuple[str, ...]:
    """Ids of the facts that a text gives."""
    return tuple(fact.id for fact in facts if gives(text, fact))
