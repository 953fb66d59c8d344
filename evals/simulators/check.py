"""Whether a user simulator can be believed: ten checks over what it said to probes, or in a run. No language model judges here.

A check is a share of replies and a limit. The limits are ours, meant to let through every honest simulator that we have
and none of the bad ones in `tests/evals/bad_simulators.py`; a leak or a solution is worth most, so they are lowest there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher, get_close_matches
from typing import Any, Literal

from evals.rows import Row, Transcript
from evals.simulators.base import Exchange, Intent, Response, User
from evals.simulators.disclosure import gives, numbers
from evals.simulators.probes import Heard, heard_in, probe
from evals.simulators.traits import MAX_LEVEL, Traits, TraitUser

Verdict = bool | None
"""Of one reply: whether it is as the check's name says; None where the check does not apply to it."""

MAX_CHARS = 2000
"""A reply that is longer does not end."""
EFFECT_TRAITS = ("terse", "typos", "register", "nonnative", "tangent")
"""Those that show in every reply, so that more of them must show more."""
EFFECT_REPLIES, EFFECT_CHARS = 40, 400
"""How many replies are put through the traits, none longer than this: it takes time quadratic in their length."""

SAME_NAME = 0.7
"""How alike a name must be to one that the user knows: hands slip."""

_SOLVING = re.compile(r"\\boxed|\bthe answer is\b|[\d)]\s*[+*×÷/=]\s*[\d(]|=\s*\d", re.IGNORECASE)
_CONTROL = re.compile(r"</?(?:think|asking|response)\b|\[?\bTERMINATE\b|\[DONE\]|<\|", re.IGNORECASE)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}")


@dataclass(frozen=True, slots=True)
class Check:
    """A share of replies, and what it may be."""

    name: str
    says: str
    value: float | None
    """None if nothing that was heard could tell."""
    limit: float
    wants: Literal["at most", "at least"]
    n: int
    examples: tuple[str, ...] = ()
    """Of replies that went wrong."""
    by_design: bool = False
    """The persona is meant to be so: shown, and no fault."""

    @property
    def passed(self) -> bool:
        if self.value is None or self.by_design:
            return True
        return self.value <= self.limit if self.wants == "at most" else self.value >= self.limit


@dataclass(frozen=True, slots=True)
class Fidelity:
    """The checks of one simulator."""

    user: Mapping[str, Any]
    """As it describes itself."""
    checks: tuple[Check, ...]
    tasks: tuple[str, ...] = ()
    rows: int = 0
    replies: int = 0
    tokens: int = 0
    retried: int = 0
    """Replies that took more than one attempt."""

    @property
    def is_reliable(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def stamp(self) -> str:
        """For the head of a report; empty if the simulator is reliable."""
        failed = [f"{c.name} {c.value:.1%} ({c.wants} {c.limit:.0%})" for c in self.checks if not c.passed]
        return f"SIMULATOR UNRELIABLE: {', '.join(failed)}" if failed else ""

    def to_json(self) -> dict[str, Any]:
        checks = [asdict(check) | {"passed": check.passed} for check in self.checks]
        return asdict(self) | {"checks": checks, "is_reliable": self.is_reliable, "stamp": self.stamp}


def _texts(heard: Heard) -> str:
    """All that a reply may name: the problem, what the user knows, and what was asked."""
    facts = [" ".join([fact.text, *fact.slots.values()]) for fact in heard.row.facts]
    return " ".join([heard.row.full, heard.row.shown, *facts, heard.ask])


def _known_numbers(heard: Heard) -> set[float]:
    """And 1, because "one" is an article, too."""
    return numbers(_texts(heard)) | {float(fact.value) for fact in heard.row.facts if fact.value} | {1.0}


def _leaks(heard: Heard) -> Verdict:
    """The right answer is in the reply, and nowhere that the user may have it from."""
    gold = heard.row.gold
    if heard.response is None or heard.row.grader not in ("math", "text") or "aliases" in heard.row.extra:
        return None
    if heard.row.grader == "math" and numbers(gold):
        return None if numbers(gold) <= _known_numbers(heard) else numbers(gold) <= numbers(heard.text)
    if not gold or gold.lower() in _texts(heard).lower():
        return None
    return gold.lower() in heard.text.lower()


def _solves(heard: Heard) -> Verdict:
    """A calculation, a result, or, where the solution was demanded, a number of its own."""
    if heard.response is None:
        return None
    texts = _texts(heard)
    if any(match.group() not in texts for match in _SOLVING.finditer(heard.text)):
        return True
    return heard.kind == "provocation" and bool(numbers(heard.text) - _known_numbers(heard))


def _is_unfaithful(heard: Heard) -> Verdict:
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


def _is_responsive(heard: Heard) -> Verdict:
    return heard.is_told if heard.kind == "direct" and heard.number == 0 else None


def _tells_too_much(heard: Heard) -> Verdict:
    """More than the one hidden fact that was asked for, counting only facts that one text does not give by chance."""
    if heard.response is None or len(heard.row.hidden) < 2 or heard.kind == "played":
        return None
    own = heard.fact
    others = [f for f in heard.row.hidden if f is not own and not (own and gives(f"{own.text} {own.value}", f))]
    asked = numbers(heard.ask)
    others = [fact for fact in others if not (numbers(fact.text) and numbers(fact.text) <= asked)]
    return any(gives(heard.text, fact) for fact in others) if others else None


def _knows_not(heard: Heard) -> Verdict:
    """Asked for what nobody knows: nothing comes that the model has not been shown."""
    if heard.kind != "unanswerable" or heard.response is None:
        return None
    shown = {fact.id for fact in heard.row.facts if not fact.hidden}
    if any(gives(heard.text, fact) for fact in heard.row.hidden):
        return False
    if heard.response.kind == "answer" and not (heard.response.disclosed and shown >= set(heard.response.disclosed)):
        return False
    return numbers(heard.text) <= numbers(heard.row.shown) | {1.0}  # "no one"


def _does_not_end(heard: Heard) -> Verdict:
    """Nothing came in time, nothing was said, or far too much, or marks that steer a conversation."""
    if heard.fault == "error":
        return None
    text = heard.text.strip()
    return heard.fault == "silence" or not text or len(text) > MAX_CHARS or bool(_CONTROL.search(text))


def _differs(heard: Heard) -> Verdict:
    if heard.kind != "direct" or heard.number or heard.fault:
        return None
    return heard.text != heard.again


def _fails(heard: Heard) -> Verdict:
    return heard.fault == "error"


_LOW: tuple[tuple[str, str, Callable[[Heard], Verdict], float], ...] = (
    ("leak", "replies with the right answer", _leaks, 0.01),
    ("solving", "replies that calculate or give a result", _solves, 0.01),
    ("unfaithful", "replies with what the user cannot know, or that claim a fact they lack", _is_unfaithful, 0.05),
    ("over_disclosure", "replies that tell a hidden fact that was not asked for", _tells_too_much, 0.05),
    ("termination", "replies that are missing, empty, endless or steer the conversation", _does_not_end, 0.01),
    ("format", "asks that got an error in place of a reply", _fails, 0.02),
)
_HIGH: tuple[tuple[str, str, Callable[[Heard], Verdict], float], ...] = (
    ("responsiveness", "first asks for a fact that get it", _is_responsive, 0.9),
    ("ignorance", "asks for what nobody knows that get nothing that was not shown", _knows_not, 0.95),
)
MIN_TOLD = 0.95
"""Of facts that must have been told after `probes.MAX_ASKS` asks."""
MIN_SAME = {"rule": 1.0, "replay": 1.0}
"""Of replies that must be the same when asked anew; 0.9 for others: an LLM at temperature 0 is not quite repeatable."""
MIN_RECOVERABLE = 0.99

_BY_DESIGN: Mapping[str, tuple[str, ...]] = {
    "vague": ("responsiveness",),
    "dont_know": ("responsiveness",),
    "contradict": ("unfaithful",),
    "dont_know_first": ("responsiveness",),
    "off_topic": ("responsiveness",),
    "never_knows": ("responsiveness", "told_at_last"),
    "two_facts": ("over_disclosure",),
    "contradicts": ("unfaithful",),
}
"""What traits and the rule simulator's personas break on purpose."""


def judge(heard: Sequence[Heard], user: Mapping[str, Any]) -> list[Check]:
    """The checks that need nothing but what was said."""
    checks = [_share(name, says, of, limit, "at most", heard, wrong=True) for name, says, of, limit in _LOW]
    checks += [_share(name, says, of, limit, "at least", heard, wrong=False) for name, says, of, limit in _HIGH]
    checks.append(_told_at_last(heard))
    changed = _share("", "", _differs, 0.0, "at most", heard, wrong=True)
    same = None if changed.value is None else 1 - changed.value
    least = MIN_SAME.get(str(user.get("name")), 0.9)
    says = "asks that get the same reply a second time"
    checks.append(Check("determinism", says, same, least, "at least", changed.n, changed.examples))
    meant = _meant(user)
    return [replace(check, by_design=check.name in meant) for check in checks]


def _meant(user: Mapping[str, Any]) -> set[str]:
    """The checks that a user's persona breaks on purpose."""
    traits = [part.partition("=")[0] for part in str(user.get("traits", "")).split(",")]
    return {name for persona in (*traits, str(user.get("persona"))) for name in _BY_DESIGN.get(persona, ())}


def _share(
    name: str,
    says: str,
    of: Callable[[Heard], Verdict],
    limit: float,
    wants: Literal["at most", "at least"],
    heard: Iterable[Heard],
    *,
    wrong: bool,
) -> Check:
    judged = [(verdict, one) for one in heard if (verdict := of(one)) is not None]
    value = sum(verdict for verdict, _ in judged) / len(judged) if judged else None
    examples = [f"{one.row.row_id}: {one.ask!r} -> {one.text!r}" for verdict, one in judged if verdict is wrong]
    return Check(name, says, value, limit, wants, len(judged), tuple(examples[:3]))


def _told_at_last(heard: Iterable[Heard]) -> Check:
    """Part of termination: a question that is open stays open for a few asks at most."""
    told: dict[tuple[str, str], bool] = {}
    for one in heard:
        if one.fact is not None:
            key = (one.row.row_id, one.fact.id)
            told[key] = told.get(key, False) or one.is_told
    open_ = tuple(f"{row}: {fact}" for (row, fact), done in told.items() if not done)[:3]
    value = sum(told.values()) / len(told) if told else None
    return Check("told_at_last", "facts told within four asks", value, MIN_TOLD, "at least", len(told), open_)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A user who says one thing, so that traits can be put over it without asking anew."""

    response: Response

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        return self.response

    def describe(self) -> Mapping[str, Any]:
        return {}


async def persona_effect(heard: Sequence[Heard], seed: int = 0) -> Check:
    """Whether traits of rising levels change what was said more and more, and whether the fact can still be read.

    The value is the share of changed replies that still give their fact, or 0 where a higher level changes less.
    """
    said = [one for one in heard if one.is_told and len(one.text) <= EFFECT_CHARS][:EFFECT_REPLIES]
    kept: list[bool] = []
    lost: list[str] = []
    rises = True
    for trait in EFFECT_TRAITS:
        distances = []
        for level in range(MAX_LEVEL + 1):
            total = 0.0
            for one in said:
                assert one.response is not None and one.fact is not None
                user = TraitUser(_Recorded(one.response), Traits(**{trait: level}), seed)
                text = (await user.respond(one.ask, intent=Intent.of(one.row))).text
                total += 1 - SequenceMatcher(None, one.text, text, autojunk=False).ratio()
                kept.append(gives(text, one.fact))
                if not kept[-1]:
                    lost.append(f"{trait}={level}: {text!r}")
            distances.append(total)
        rises &= distances == sorted(distances) and distances[0] == 0
    value = (sum(kept) / len(kept) if rises else 0.0) if kept else None
    says = "replies that still give their fact under any trait, which change more the higher its level"
    return Check("persona_effect", says, value, MIN_RECOVERABLE, "at least", len(kept), tuple(lost[:3]))


async def check(
    user: User, rows: Sequence[Row], *, seed: int = 0, timeout_s: float = 120.0, concurrency: int = 8
) -> Fidelity:
    """Asks a user about rows, most of which should hide something, and judges what it said."""
    heard = await probe(user, rows, seed=seed, timeout_s=timeout_s, concurrency=concurrency)
    checks = [*judge(heard, user.describe()), await persona_effect(heard, seed)]
    return _fidelity(user.describe(), checks, heard, rows)


def check_run(rows: Sequence[Row], transcripts: Iterable[Transcript], user: Mapping[str, Any]) -> Fidelity:
    """Judges the user of a finished run by what it said there; what only probes can tell has no value."""
    heard = heard_in(rows, transcripts)
    return _fidelity(user, judge(heard, user), heard, rows)


def _fidelity(
    user: Mapping[str, Any], checks: Iterable[Check], heard: Sequence[Heard], rows: Sequence[Row]
) -> Fidelity:
    said = [one.response for one in heard if one.response is not None]
    return Fidelity(
        user=dict(user),
        checks=tuple(checks),
        tasks=tuple(dict.fromkeys(row.task for row in rows)),
        rows=len(rows),
        replies=len(said),
        tokens=sum(response.tokens for response in said),
        retried=sum(response.attempts > 1 for response in said),
    )
