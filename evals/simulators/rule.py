"""A user simulator that needs no language model: it finds the fact an ask is about and says it in its persona's manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Literal, get_args

from evals.problems import replies
from evals.problems.kinds import KINDS
from evals.problems.matching import match, parts
from evals.problems.model import Fact
from evals.problems.numbers import in_words
from evals.simulators import told
from evals.simulators.base import Exchange, Intent, Response

Persona = Literal[
    "clean",
    "terse",
    "verbose",
    "typos",
    "number_words",
    "dont_know_first",
    "never_knows",
    "off_topic",
    "two_facts",
    "contradicts",
    "new_phrasing",
]
PERSONAS: tuple[Persona, ...] = get_args(Persona)


@dataclass(frozen=True, slots=True)
class RuleSimulator:
    """Replies by rule. The same seed, problem, ask and number of earlier asks give the same response."""

    persona: Persona = "clean"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.persona not in PERSONAS:
            raise ValueError(f"no persona {self.persona!r}; there are {', '.join(PERSONAS)}")

    def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        rng = self._rng(intent.row_id, len(history), ask)
        if self.persona == "never_knows":
            return Response(replies.dont_know(rng), (), "dont_know")
        asked = asked_facts(ask, intent)
        if not asked:
            return Response(replies.unclear(rng), (), "unclear")
        if self.persona in ("dont_know_first", "off_topic") and not _asked_before(asked, intent, history):
            return self._put_off(asked, intent, rng)
        if self.persona == "two_facts" and len(asked) == 1:
            asked = [*asked, *_one_more(asked[0], intent, rng)]
        text = " ".join(_sentence(self._say(fact, rng), last=fact is asked[-1]) for fact in asked)
        return Response(text, tuple(fact.id for fact in asked), "answer")

    def _rng(self, row_id: str, number: int, ask: str) -> Random:
        key = f"{self.persona}/{self.seed}/{row_id}/{number}/{ask}"
        return Random(int.from_bytes(blake2b(key.encode(), digest_size=8).digest()))

    def _put_off(self, asked: Sequence[Fact], intent: Intent, rng: Random) -> Response:
        """The first response of somebody who answers only when asked again."""
        if self.persona == "dont_know_first":
            return Response(replies.dont_know(rng), (), "dont_know")
        others = [fact for fact in intent.facts if fact not in asked and not fact.hidden]
        if others and rng.random() < 0.6:
            other = others[int(rng.random() * len(others))]
            return Response(replies.state(other, rng), (other.id,), "off_topic")
        return Response(replies.off_topic(rng), (), "off_topic")

    def _say(self, fact: Fact, rng: Random) -> str:
        match self.persona:
            case "terse":
                return replies.tell_briefly(fact, rng)
            case "verbose":
                return replies.tell_at_length(fact, rng)
            case "typos":
                return _misspell(replies.tell(fact, rng), rng)
            case "number_words":
                return replies.tell(fact, rng, v=in_words(fact.value))
            case "two_facts":
                return replies.state(fact, rng)
            case "contradicts":
                return _correct_oneself(fact, rng)
            case "new_phrasing":
                return replies.tell(fact, rng, held_out=True)
            case _:
                return replies.tell(fact, rng)


def asked_facts(ask: str, intent: Intent) -> list[Fact]:
    """The facts that an ask is about, in its order; empty if it is unclear."""
    if any(told.is_told(fact) for fact in intent.facts):
        fact = told.find(ask, intent.facts, intent.text)
        return [] if fact is None else [fact]
    found = [match(part, intent.facts) for part in parts(ask)]
    clear = [fact for fact in found if fact is not None]
    if not clear:
        whole = match(ask, intent.facts)
        clear = [whole] if whole is not None else []
    return list({fact.id: fact for fact in clear}.values())


def _asked_before(asked: Sequence[Fact], intent: Intent, history: Sequence[Exchange]) -> bool:
    ids = {fact.id for fact in asked}
    return any(ids & {fact.id for fact in asked_facts(exchange.ask, intent)} for exchange in history)


def _one_more(fact: Fact, intent: Intent, rng: Random) -> list[Fact]:
    """Another fact to tell unasked: a hidden one if there is one."""
    others = [other for other in intent.facts if other.id != fact.id and not KINDS[other.kind].distractor]
    hidden = [other for other in others if other.hidden]
    pool = hidden or others
    return [pool[int(rng.random() * len(pool))]] if pool else []


def _sentence(text: str, *, last: bool) -> str:
    return text if last or text.endswith((".", "?", "!")) else text + "."


def _correct_oneself(fact: Fact, rng: Random) -> str:
    """A wrong value, then the right one."""
    turn = ("No, wait", "No, sorry", "Oh no, that is wrong", "Sorry, I was wrong")[int(rng.random() * 4)]
    kind = KINDS[fact.kind]
    if kind.reading:
        right = fact.unit
        wrong = OTHER_READING[right]
        return f"I mean {wrong}. {turn}, I mean {right}."
    wrong_value = max(1, fact.value + rng.choice((-3, -2, -1, 1, 2, 3, 10)))
    if wrong_value == fact.value:
        wrong_value += 1
    unit = f" {fact.unit}" if fact.unit else ""
    return f"It is {wrong_value}{unit}. {turn}, it is {fact.value}{unit}."


_PAIRS = (("each", "in all"), ("hours", "days"), ("minutes", "hours"), ("each day", "each week"))
OTHER_READING = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}


def _misspell(text: str, rng: Random) -> str:
    """Two slips of the finger inside words; digits stay."""
    letters = list(text)
    for _ in range(2):
        places = [i for i in range(1, len(letters) - 1) if letters[i].isalpha() and letters[i - 1].isalpha()]
        if not places:
            break
        place = places[int(rng.random() * len(places))]
        slip = int(rng.random() * 3)
        if slip == 0:
            letters[place - 1], letters[place] = letters[place], letters[place - 1]
        elif slip == 1:
            del letters[place]
        else:
            letters.insert(place, letters[place])
    return "".join(letters)
