"""Premise kinds: how one sort of fact is stated, left vague, measured in the reasoning, and asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from evals.problems.grammar import Skeletons, capital, fill, skeletons
from evals.problems.model import Fact


@dataclass(frozen=True, slots=True)
class PremiseKind:
    """All the wording of one sort of fact; `{v}` is its value."""

    name: str
    phrase: str
    unit: str
    line: str
    says: Skeletons
    vague: Skeletons
    asks: Skeletons
    replies: Skeletons | None
    """Replies of this kind's own; None where the number and the statement are enough."""
    reading: bool
    """Whether the fact is which of two readings is meant: then the number stays in view when it is hidden."""
    distractor: bool
    implied: bool
    """Whether the question lets a reader miss it when its sentence is left out (a price, but not a tip)."""
    entities: tuple[str, ...]
    """The slots of `phrase`: whoever asks for the fact needs these words."""

    def state(self, value: int, slots: Mapping[str, str]) -> str:
        """The canonical line of reasoning that states it."""
        return capital(self.line.format_map({**slots, "v": str(value)}))


KINDS: dict[str, PremiseKind] = {}

_GENERIC_ASKS = """
What is {phrase}?
[Can|Could] you tell me {phrase}?
[Please|] tell me {phrase}.
I need {phrase}. What is it?
"""


_CLAUSE_ASKS = """
[Can|Could] you tell me {phrase}?
[Please|] tell me {phrase}.
I need to know {phrase}.
"""


def kind(
    name: str,
    phrase: str,
    unit: str,
    *,
    says: str,
    vague: str = "",
    asks: str,
    line: str = "",
    replies: str = "",
    reading: bool = False,
    distractor: bool = False,
    implied: bool = True,
) -> None:
    """Register a premise kind. Blocks hold one skeleton a line."""
    if name in KINDS:
        raise ValueError(f"premise kind {name!r} is defined twice")
    count = phrase.startswith("the number of")
    if not line:
        line = capital(phrase) + (" is {v}." if count else " is {v} " + unit + ".")
    clause = phrase.startswith(("how ", "what ", "who "))
    generic = "" if reading else (_CLAUSE_ASKS if clause else _GENERIC_ASKS).replace("{phrase}", phrase)
    KINDS[name] = PremiseKind(
        name=name,
        phrase=phrase,
        unit=unit,
        line=line,
        says=skeletons(says),
        vague=skeletons(vague),
        asks=skeletons(asks + generic),
        replies=skeletons(replies) if replies else None,
        reading=reading,
        distractor=distractor,
        implied=implied,
        entities=tuple(key for key in re.findall(r"\{([^{}]+)\}", phrase + line) if key not in ("v", "phrase")),
    )


def question(fact: Fact, rng: Random) -> str:
    """A question that asks for the fact; any of the kind's, none is held out."""
    asks = KINDS[fact.kind].asks.all
    return fill(asks[int(rng.random() * len(asks))], {**fact.slots, "v": str(fact.value)}, rng)
