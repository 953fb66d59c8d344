"""Whether a user simulator can be believed: checks over what it said to probes, or in a run, without a language model.

A check is a share of replies and a limit. The limits are ours, meant to let through every honest simulator that we have
and none of the bad ones in `tests/evals/bad_simulators.py`; a leak or a solution is worth most, so they are lowest there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from typing import Any, Literal

from evals.rows import Row, Transcript
from evals.simulators import verdicts
from evals.simulators.base import Exchange, Intent, Response, User
from evals.simulators.disclosure import gives
from evals.simulators.probes import Heard, heard_in, probe
from evals.simulators.traits import MAX_LEVEL, Traits, TraitUser
from evals.simulators.verdicts import Verdict

EFFECT_TRAITS = ("terse", "typos", "register", "nonnative", "tangent")
"""Those that show in every reply, so that more of them must show more."""
EFFECT_REPLIES, EFFECT_CHARS = 40, 400
"""How many replies are put through the traits, none longer than this: it takes time quadratic in their length."""


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


_LOW: tuple[tuple[str, str, Callable[[Heard], Verdict], float], ...] = (
    ("leak", "replies with the right answer", verdicts.leaks, 0.01),
    ("solving", "replies that calculate or give a result", verdicts.solves, 0.01),
    (
        "unfaithful",
        "replies with what the user cannot know, or that claim a fact they lack",
        verdicts.is_unfaithful,
        0.05,
    ),
    ("over_disclosure", "replies that tell a hidden fact that was not asked for", verdicts.tells_too_much, 0.05),
    ("termination", "replies that are missing, empty, endless or steer the conversation", verdicts.does_not_end, 0.01),
    ("format", "asks that got an error in place of a reply", verdicts.fails, 0.02),
)
_HIGH: tuple[tuple[str, str, Callable[[Heard], Verdict], float], ...] = (
    ("responsiveness", "first asks for a fact that get it", verdicts.is_responsive, 0.9),
    ("ignorance", "asks for what nobody knows that get nothing that was not shown", verdicts.knows_not, 0.95),
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
    changed = _share("", "", verdicts.differs, 0.0, "at most", heard, wrong=True)
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
