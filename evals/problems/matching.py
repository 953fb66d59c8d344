"""Which fact a free-text ask is about.

Keyword overlap with the questions and statements of each fact, corrected by what is asked for (the unit), who is
named, and which things are named. Wording may be wrong; a different person or thing is not forgiven.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from evals.problems.grammar import expansions
from evals.problems.kinds import KINDS
from evals.problems.model import Fact
from evals.problems.names import BY_NAME

MIN_SCORE = 2.0
"""Below this an ask is about no fact in particular."""
MIN_MARGIN = 0.15
"""Two facts closer than this cannot be told apart, unless only one of them is hidden."""
HIDDEN_MARGIN = 0.5
"""By how much a fact that the text gives must beat a hidden one."""
COMMON_WEIGHT = 0.4
"""What a shared name or noun counts for, beside 1 for a word that only some facts have."""

_STOP_WORDS = """
a an the of is are am was be do does did it to you can could please tell me what i need know that in on at for
there this by with and so or if just would like will much many give say let us
"""
_STOP = frozenset(_STOP_WORDS.split())
_PARTS = re.compile(r"\?\s*|,?\s+and\s+(?=how |what |who |does |is |are )|(?<=[a-z])[.;]\s+")
_WORD = re.compile(r"[a-z]+|\d+")


def _stem(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word.rstrip("e") if len(word) > 3 else word


def _stems(text: str) -> list[str]:
    return [_stem(word) for word in _WORD.findall(text.lower().replace("'s", "").replace("'", ""))]


def _content(text: str) -> frozenset[str]:
    return frozenset(stem for stem in _stems(text) if stem not in _STOP)


@lru_cache(maxsize=1)
def _surfaces() -> dict[str, tuple[str, ...]]:
    """Every way to ask for or to state each kind of premise, with slots."""
    table = {}
    for name, kind in KINDS.items():
        texts = [text for skeleton in kind.asks.all for text in expansions(skeleton)]
        texts += [kind.phrase, kind.line]
        table[name] = tuple(dict.fromkeys(texts))
    return table


@lru_cache(maxsize=4096)
def _exemplars(kind: str, slots: tuple[tuple[str, str], ...]) -> tuple[frozenset[str], ...]:
    values = dict(slots)
    return tuple({_content(text.format_map(values)) for text in _surfaces()[kind]})


def _overlap(ask: frozenset[str], exemplars: Sequence[frozenset[str]], common: frozenset[str]) -> float:
    """The best F1 of shared words; names and nouns, which most facts share, weigh less."""

    def weight(words: frozenset[str]) -> float:
        return len(words) - (1.0 - COMMON_WEIGHT) * len(words & common)

    own = weight(ask)
    return max((2 * weight(ask & words) / (own + weight(words)) for words in exemplars if words), default=0.0)


_UNITS: Mapping[str, tuple[str, ...]] = {
    "dollars": (
        "price", "cost", "dollar", "pay", "earn", "money", "fee", "charge", "bill", "wage", "spend", "discount",
        "coupon", "salary", "tip", "bonus", "how much does", "how much do", "how much is",
    ),
    "hours": ("how long", "how many hours", "hours", "time"),
    "minutes": ("how long", "how many minutes", "minutes", "time"),
    "years": ("how old", "age", "years", "older", "younger"),
    "km per hour": ("how fast", "speed", "km per hour"),
    "km": ("how far", "how many km", "distance", "how long is", "length"),
    "metres": ("how long", "how wide", "length", "width", "side", "metres"),
    "times": ("times", "multipl", "ratio"),
}  # fmt: skip
_MEASURES = frozenset(_stem(word) for word in ("dollars", "minutes", "pages", "km", "hours", "days", "weeks", "litres"))
_MODIFIERS = "more|extra|loose|other|fre|free|bad|damag|all|of|the|good|total|new|broken"
_COUNT = re.compile(r"(?:how many|number of|amount of)\s+([a-z' -]+)")


def _unit_score(ask: str, fact: Fact) -> float:
    """Whether the ask wants the sort of number that the fact is."""
    hints = _UNITS.get(fact.unit)
    count = _COUNT.search(ask)
    wanted = _stems(count.group(1)) if count else []
    unit = _stems(fact.unit)
    if wanted and unit:
        # "how many [more] litres of fuel": the counted noun comes first
        head = " ".join(wanted[:6])
        if re.match(rf"(?:(?:{_MODIFIERS}) )*{re.escape(' '.join(unit))}\b", head):
            return 2.0
        if hints is None:
            return -1.5
    if hints is not None:
        found = any(hint in ask for hint in hints)
        return 1.0 if found else -1.0 if "how" in ask or "number of" in ask else 0.0
    return 0.0 if wanted or not ask.startswith(("how much", "how long", "how old", "how fast")) else -1.0


def _people(fact: Fact) -> frozenset[str]:
    keys = KINDS[fact.kind].entities
    return frozenset(fact.slots[key].removesuffix("'s") for key in keys if key.startswith(("who", "other")))


def _things(fact: Fact) -> frozenset[str]:
    keys = [key for key in KINDS[fact.kind].entities if not key.startswith(("who", "other", "act", "period"))]
    return frozenset(stem for key in keys for stem in _stems(fact.slots[key]) if stem not in _STOP | _MEASURES)


def _entity_stems(fact: Fact) -> frozenset[str]:
    keys = [key for key in KINDS[fact.kind].entities if not key.startswith(("act", "period"))]
    return frozenset(stem for key in keys for stem in _stems(fact.slots[key]))


def _reading_score(ask: str, fact: Fact) -> float:
    offers = " or " in ask
    closed = ask.startswith(("is ", "are ", "do ", "does ", "should "))
    if KINDS[fact.kind].reading:
        return (2.5 if offers else 0.0) + (0.5 if closed else -1.0) + (0.3 if str(fact.value) in ask else 0.0)
    return (-1.0 if offers else 0.0) + (-0.7 if closed else 0.0)


def score(ask: str, fact: Fact, facts: Sequence[Fact]) -> float:
    """How well the ask fits the fact; about 2 to 10 for a good match."""
    lowered = " ".join(ask.lower().replace("'s", "").split())
    words = _content(ask)
    slots = tuple(sorted({**fact.slots, "v": str(fact.value), "n": fact.slots.get("n", "")}.items()))
    common = frozenset().union(*(_entity_stems(other) for other in facts))
    total = 4.0 * _overlap(words, _exemplars(fact.kind, slots), common)
    total += _unit_score(lowered, fact) + _reading_score(lowered, fact)
    named = {name for name in re.findall(r"[A-Z][a-z]+", ask) if name in BY_NAME}
    present = frozenset().union(*(_people(other) for other in facts))
    own = _people(fact)
    total += 1.0 * len(named & own) - 2.0 * len((named & present) - own)
    if own and named & present and not own & named:
        total -= 1.0
    every_thing = frozenset().union(*(_things(other) for other in facts))
    things = _things(fact)
    total += 1.0 * min(2, len(words & things)) - 1.2 * len((words & every_thing) - things)
    if things and words & every_thing and not words & things:
        total -= 1.0
    return total - 0.5 * (not fact.needed)


def parts(ask: str) -> list[str]:
    """The single questions of an ask."""
    found = [part.strip() for part in _PARTS.split(ask) if part.strip()]
    return [part for part in found if len(_content(part)) > 0] or [ask]


def match(ask: str, facts: Sequence[Fact]) -> Fact | None:
    """The fact that a single question is about; None if it is about none, or about two equally.

    Hidden facts win ties: nobody asks for what the text says.
    """
    if not _content(ask):
        return None
    ranked = sorted(((score(ask, fact, facts), fact.hidden, fact) for fact in facts), key=lambda entry: -entry[0])
    best, hidden, fact = ranked[0]
    if best < MIN_SCORE:
        return None
    rivals = [
        entry for entry in ranked[1:] if best - entry[0] < (HIDDEN_MARGIN if entry[1] and not hidden else MIN_MARGIN)
    ]
    if not rivals:
        return fact
    secret = [entry[2] for entry in ((best, hidden, fact), *rivals) if entry[1]]
    return secret[0] if len(secret) == 1 else None
