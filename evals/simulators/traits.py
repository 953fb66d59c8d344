"""Personas as levels of traits, 0 to 3, put over any user: what they hold back, and how what they say looks.

Level 0 of every trait is the user as it is, word for word. Nothing here makes up a number except the wrong one that
`contradict` takes back in the same breath, and digits are never touched: facts stay recoverable, at the latest when
they are asked for again (`impatient` alone ends for good). All draws are seeded by row, trait, ask and exchanges so far.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from random import Random
from typing import Any

from evals.problems import KINDS, Fact
from evals.simulators import surface
from evals.simulators.base import Exchange, Intent, Response, ResponseKind, User

VERSION = 1
"""Raised when a trait changes what is said."""
MAX_LEVEL = 3

_RATE = {"dont_know": (0.0, 0.15, 0.35, 0.7), "contradict": (0.0, 0.2, 0.5, 1.0), "tangent": (0.0, 0.3, 0.6, 1.0)}
_VAGUE_RATE = (0.0, 0.34, 0.67, 1.0)
_MAX_FACTS = (99, 3, 2, 1)
_PATIENCE = (10**6, 4, 3, 2)
"""Asks that are answered before an impatient user has had enough."""

_DONT_KNOW = ("I don't know right now.", "Hmm, I don't remember.", "No idea, I would have to look that up.")
_VAGUE = (
    "The usual, I think. What exactly do you need?",
    "Not that much, I guess.",
    "It depends. Can you be more precise?",
)
_ENOUGH = (
    "That is enough questions. Just give me the answer.",
    "I have no more time for this. Work with what you have.",
)
_TANGENTS = (
    "By the way, the weather is lovely today.",
    "That reminds me, I still have to call my sister.",
    "I was at the market when I read this.",
    "My neighbour asked me something like that, too.",
)


@dataclass(frozen=True, slots=True)
class Traits:
    """How strongly each trait shows, from 0 (not at all) to 3."""

    terse: int = 0
    """Openers and courtesies go; then all sentences without the fact; then all but the clause with it."""
    typos: int = 0
    """Slips of the finger per response: 1, 2 or 4; capitals go from level 2."""
    vague: int = 0
    """How often a fact's first ask gets a vague reply."""
    one_fact: int = 0
    """At most 3, 2 or 1 facts a turn, whatever was asked."""
    dont_know: int = 0
    """How often the user does not know; never twice running."""
    contradict: int = 0
    """How often a wrong number is said first and taken back at once."""
    tangent: int = 0
    """How often something beside the point is said, too."""
    impatient: int = 0
    """After 4, 3 or 2 asks the user answers no more."""
    register: int = 0
    """Casual: contractions; then dropped openings and fillers; then slang spellings."""
    nonnative: int = 0
    """Articles go; then forms of be; then tenses and plurals flatten."""

    def __post_init__(self) -> None:
        for name, level in asdict(self).items():
            if level not in range(MAX_LEVEL + 1):
                raise ValueError(f"{name}={level}: levels are 0 to {MAX_LEVEL}")

    @classmethod
    def parse(cls, text: str) -> Traits:
        """From "terse=2,typos=1"; a name alone is level 1.

        Raises:
            ValueError: an unknown trait, or a level that is none.
        """
        levels: dict[str, int] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, level = (piece.strip() for piece in part.partition("="))
            if name not in TRAITS:
                raise ValueError(f"no trait {name!r}; there are {', '.join(TRAITS)}, with levels 0 to {MAX_LEVEL}")
            if level and not re.fullmatch(r"[0-3]", level):
                raise ValueError(f"{name}={level}: levels are 0 to {MAX_LEVEL}")
            levels[name] = int(level or 1)
        return cls(**levels)

    def __str__(self) -> str:
        return ",".join(f"{name}={level}" for name, level in asdict(self).items() if level)


TRAITS: tuple[str, ...] = tuple(field.name for field in fields(Traits))


@dataclass(frozen=True, slots=True)
class TraitUser:
    """`inner` with the traits of a persona."""

    inner: User
    traits: Traits
    seed: int = 0

    def describe(self) -> Mapping[str, Any]:
        return {
            **self.inner.describe(),
            "traits": str(self.traits),
            "traits_version": VERSION,
            "traits_seed": self.seed,
        }

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        def rng(trait: str) -> Random:
            key = f"{trait}/{self.seed}/{intent.row_id}/{len(history)}/{ask}"
            return Random(int.from_bytes(blake2b(key.encode(), digest_size=8).digest()))

        if len(history) >= _PATIENCE[self.traits.impatient]:
            return Response(rng("impatient").choice(_ENOUGH), (), "refused")
        said = await self.inner.respond(ask, intent=intent, history=history)
        said = await self._few_facts(said, ask, intent, history)
        said = self._hold_back(said, history, rng)
        return replace(said, text=self._dress(said, intent, rng))

    async def _few_facts(self, said: Response, ask: str, intent: Intent, history: Sequence[Exchange]) -> Response:
        """Asked again as one who knows no more than the first facts, where the response gives too many."""
        limit = _MAX_FACTS[self.traits.one_fact]
        if len(said.disclosed) <= limit:
            return said
        kept = tuple(fact for fact in intent.facts if fact.id in said.disclosed[:limit])
        fewer = await self.inner.respond(ask, intent=replace(intent, facts=kept), history=history)
        return replace(fewer, tokens=said.tokens + fewer.tokens, attempts=said.attempts + fewer.attempts)

    def _hold_back(self, said: Response, history: Sequence[Exchange], rng: Callable[[str], Random]) -> Response:
        """Instead of the facts, at times, that one does not know or something vague; never twice running."""
        held_back = bool(history) and not history[-1].response.disclosed
        if not said.disclosed or held_back:
            return said
        if rng("dont_know").random() < _RATE["dont_know"][self.traits.dont_know]:
            return _instead(said, rng("dont_know!").choice(_DONT_KNOW), "dont_know")
        if rng("vague").random() < _VAGUE_RATE[self.traits.vague]:
            return _instead(said, rng("vague!").choice(_VAGUE), "unclear")
        return said

    def _dress(self, said: Response, intent: Intent, rng: Callable[[str], Random]) -> str:
        levels, text = self.traits, said.text
        facts = [fact for fact in intent.facts if fact.id in said.disclosed]
        if facts and rng("contradict").random() < _RATE["contradict"][levels.contradict]:
            text = _wrong_first(facts[0], rng("contradict!")) + text
        elif levels.terse:  # who takes something back cannot be brief about it
            text = surface.terse(text, facts, levels.terse)
        text = surface.casual(text, levels.register)
        text = surface.nonnative(text, facts, levels.nonnative)
        if rng("tangent").random() < _RATE["tangent"][levels.tangent]:
            text = f"{text} {rng('tangent!').choice(_TANGENTS)}"
        return surface.typos(text, facts, levels.typos, rng("typos"))


def _instead(said: Response, text: str, kind: ResponseKind) -> Response:
    return replace(said, text=text, disclosed=(), kind=kind)


def _wrong_first(fact: Fact, rng: Random) -> str:
    """A wrong number, taken back; nothing for a fact without a number."""
    found = re.search(r"\d+", fact.text)
    own = fact.value or (int(found.group()) if found else 0)
    if not own or (fact.kind in KINDS and KINDS[fact.kind].reading):
        return ""
    return f"It is {own + rng.choice((1, 2, 3, 10))}. {rng.choice(('No, wait, that is wrong', 'Sorry, I was wrong'))}. "
