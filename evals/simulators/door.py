"""The one door to user simulators: `simulator("rule", persona="terse=2", seed=1)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any

from evals.simulators import told
from evals.simulators.base import Exchange, Intent, Response, SimulatorError, User
from evals.simulators.rule import PERSONAS, RuleSimulator

RULE_VERSION = 1
"""Raised when the rule user's responses change."""


@dataclass(frozen=True, slots=True)
class RuleUser:
    """The rule simulator over any row: generated facts in all their wordings, others as they stand."""

    rule: RuleSimulator = field(default_factory=RuleSimulator)

    async def respond(self, ask: str, *, intent: Intent, history: Sequence[Exchange] = ()) -> Response:
        if intent.facts and not any(told.is_told(fact) for fact in intent.facts):
            return self.rule.respond(ask, intent=intent, history=history)
        if self.rule.persona != "clean":
            raise SimulatorError(
                f"the persona {self.rule.persona} words generated facts only; for {intent.row_id} use levels, e.g. terse=2"
            )
        key = f"told/{self.rule.seed}/{intent.row_id}/{len(history)}/{ask}"
        rng = Random(int.from_bytes(blake2b(key.encode(), digest_size=8).digest()))
        return told.respond(ask, intent, history, rng)

    def describe(self) -> Mapping[str, Any]:
        return {"name": "rule", "version": RULE_VERSION, "persona": self.rule.persona, "seed": self.rule.seed}


def _rule(*, persona: str = "", seed: int = 0) -> User:
    return RuleUser(RuleSimulator(persona or "clean", seed))  # type: ignore[arg-type]  # checked on construction


_MAKERS: dict[str, Callable[..., User]] = {"rule": _rule}
SIMULATORS = tuple(_MAKERS)


def simulator(name: str = "rule", *, persona: str = "", seed: int = 0, **options: Any) -> User:
    """A user by name.

    Args:
        name: one of `SIMULATORS`.
        persona: levels of traits ("terse=2,typos=1") over any simulator, or one of the rule simulator's `PERSONAS`.
        seed: of everything that is drawn.
        options: the simulator's own.

    Raises:
        ValueError: no such simulator, persona, level or option; the message says what there is.
    """
    if name not in _MAKERS:
        raise ValueError(f"no user simulator {name!r}; there are {', '.join(SIMULATORS)}")
    if persona and persona not in PERSONAS:
        raise ValueError(f"no persona {persona!r}; there are {', '.join(PERSONAS)}")
    return _MAKERS[name](persona=persona, seed=seed, **options)
