"""Facts of problems that we did not generate: a text that the user can say, and words by which an ask finds it.

Such a fact has a `kind` of its own ("span", "sentence", "variable", "detail", "constraint") and no premise kind; its `text`
is what the user says, its `phrase` what it is about. Spans of full texts are found in `evals.simulators.spans`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from random import Random
from typing import Literal

from evals.problems.kinds import KINDS
from evals.problems.model import Fact
from evals.simulators.base import Exchange, Intent, Response

ToldKind = Literal["span", "sentence", "variable", "detail", "constraint"]

MIN_SCORE = 0.3
"""Share of an ask's weighted words that a fact must explain, give or take what sort of thing is asked for."""
HIDDEN_BONUS = 0.15
"""By how much a fact that the text gives must beat one that it lacks: nobody asks for what is there."""
UNKNOWN_WEIGHT = 0.5
"""Of an ask's word that occurs nowhere in the problem, beside about 1 for one that only one sentence has."""
SENTENCE_WEIGHT = 0.7
"""Of a word that only the sentence around a span has, beside 1 for the span's own."""
SORT_BONUS = 0.2
RETOLD_MALUS = 0.3
"""Of a fact that the user has told before: who asks again wants something else."""

_STOP_WORDS = """
a an the of is are am was were be been do does did it its to you your can could would please tell me my what which who
whom whose i we us need know that this these those in on at for from there by with and so or if just like will how much
many say let about
want should use step format by as than then he she they them his her their him have has had not no any some also mean exactly
provide specify value information clarify missing answer question problem detail more number amount total
"""
_STOP = frozenset(_STOP_WORDS.split())
_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)?")
_SORTS: tuple[tuple[str, str, str], ...] = (
    # sort, asked for by, found in a fact that says
    ("money", r"how much (?:does|do|did|is|was|are|were|will|money)|price|cost|pay|spend|charge|worth|earn|wage|salary",
     r"\$|€|£|dollar|cent|price|cost|paid"),
    ("share", r"percent|fraction|share|proportion|ratio|how much (?:more|less|higher|lower)",
     r"%|percent|half|third|quarter|twice|times|\d/\d|double|triple"),
    ("time", r"how long|how many (?:hours?|minutes?|days?|weeks?|months?|years?)|how old|when|what time|how often",
     r"hour|minute|second|day|week|month|year|old|younger|noon|\d ?[ap]\.?m"),
    ("distance", r"how (?:far|long|tall|high|wide|deep)|distance|length|width|height|depth",
     r"mile|met(?:er|re)|feet|foot|inch|km|cm|yard"),
)  # fmt: skip
_OPENERS = ("", "", "", "", "Sure. ", "Oh, I forgot that. ", "Sorry, I forgot to say. ", "Let me see. ")
_DONT_KNOW = (
    "I don't know.",
    "I don't know that.",
    "Sorry, I don't know.",
    "I have no idea.",
    "I can't tell you that.",
)
_UNCLEAR = ("I am not sure what you mean.", "Sorry, which part do you mean?", "What would you like to know?")


def told_fact(
    number: int,
    text: str,
    *,
    about: str,
    kind: ToldKind,
    hidden: bool = True,
    needed: bool = True,
    ask: str = "",
    importance: int | None = None,
) -> Fact:
    """A fact that is said as it stands. `about` holds the words that an ask for it may use; `ask` is a question that
    asks for it, where the data has one."""
    slots = {"ask": ask} if ask else {}
    if importance is not None:
        slots["importance"] = str(importance)
    visibility: Literal["shown", "dropped"] = "dropped" if hidden else "shown"
    prefix = {"span": "f", "sentence": "f", "variable": "v", "detail": "d", "constraint": "c"}[kind]
    return Fact(f"{prefix}{number}", kind, text, about, 0, "", visibility, needed, slots)


def is_told(fact: Fact) -> bool:
    """Whether a fact is said as it stands; the others have a premise kind, which words them."""
    return fact.kind not in KINDS


def stems(text: str) -> list[str]:
    """Content words, with endings taken off, in order."""
    lowered = text.lower().replace("'s", "").replace("$", " dollar ").replace("%", " percent ").replace(",", "")
    return [_stem(word) for word in _WORD.findall(lowered) if word not in _STOP]


def _stem(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]  # "running", "runner"
    return word.rstrip("e") if len(word) > 3 else word


def find(ask: str, facts: Sequence[Fact], context: str = "", told: Collection[str] = ()) -> Fact | None:
    """The one fact that an ask is about, or None.

    `context`, the problem's text, says which words are common; `told` are ids of facts that the user has told before.
    """
    wanted = set(stems(ask))
    if not wanted or not facts:
        return None
    weights = _weights(facts, context)
    scores = [_score(ask, wanted, fact, weights) for fact in facts]
    order = sorted(range(len(facts)), key=lambda i: RETOLD_MALUS * (facts[i].id in told) - scores[i])
    return facts[order[0]] if scores[order[0]] >= MIN_SCORE else None


def _weights(facts: Sequence[Fact], context: str) -> dict[str, float]:
    """What a word tells: 1 if one sentence has it, less the more have it (inverse document frequency, scaled)."""
    texts = [f"{fact.text} {fact.phrase}" for fact in facts] + re.split(r"(?<=[.?!])\s+", context)
    counts = Counter(stem for text in texts for stem in set(stems(text)))
    scale = math.log(1 + len(texts))
    return {stem: math.log(1 + len(texts) / count) / scale for stem, count in counts.items()}


def _score(ask: str, wanted: set[str], fact: Fact, weights: dict[str, float]) -> float:
    own, around = set(stems(fact.text)), set(stems(f"{fact.phrase} {fact.slots.get('ask', '')}"))
    total = sum(weights.get(stem, UNKNOWN_WEIGHT) for stem in wanted)
    found = sum(
        weights.get(stem, UNKNOWN_WEIGHT) * (1.0 if stem in own else SENTENCE_WEIGHT)
        for stem in wanted & (own | around)
    )
    if not found:
        return 0.0
    return found / total + _sort_bonus(ask.lower(), fact.text.lower()) + HIDDEN_BONUS * fact.hidden


def _sort_bonus(ask: str, said: str) -> float:
    sorts = [bool(re.search(present, said)) for _, asked, present in _SORTS if re.search(asked, ask)]
    return 0.0 if not sorts else SORT_BONUS if any(sorts) else -SORT_BONUS


def respond(ask: str, intent: Intent, history: Sequence[Exchange], rng: Random) -> Response:
    """One fact, as it stands, to an ask that is about it; otherwise the user does not know."""
    told = {fact_id for exchange in history for fact_id in exchange.response.disclosed}
    fact = find(ask, intent.facts, intent.text, told)
    if fact is None:
        if not stems(ask):
            return Response(rng.choice(_UNCLEAR), (), "unclear")
        return Response(rng.choice(_DONT_KNOW), (), "dont_know")
    opener = "As I said: " if fact.id in told or not fact.hidden else rng.choice(_OPENERS)
    return Response(opener + sentence(fact.text), (fact.id,), "answer")


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    text = text.strip().rstrip(",;:")
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", '"', "`", ")")) else text + "."


def question_for(fact: Fact) -> str:
    """A question that asks for a told fact without saying its numbers; a data set's own where it has one."""
    if fact.slots.get("ask"):
        return fact.slots["ask"]
    blanked = re.sub(r"[$€£]?\d[\d,./:]*%?", "how much", fact.text.rstrip(".!?"))
    return f"Can you tell me about this: {blanked}?"
