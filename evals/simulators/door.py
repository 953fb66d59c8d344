"""The one door to user simulators: `simulator("rule", persona="terse=2", seed=1)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from evals.simulators import told
from evals.simulators.base import Exchange, Intent, Response, SimulatorError, User
from evals.simulators.human import HumanUser
from evals.simulators.replay import ReplayUser
from evals.simulators.rule import PERSONAS, RuleSimulator
from evals.simulators.traits import Traits, TraitUser

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


def _llm(*, seed: int = 0, model: str = "", base_url: str = "", **options: Any) -> User:
    from evals.simulators.llm import LLMUser  # the SDK takes a while to import

    if not model or not base_url:
        raise ValueError("the simulator llm needs the options model and base_url")
    return LLMUser(model=model, base_url=base_url, seed=seed, **options)


def _replay(*, path: str | Path = "") -> User:
    if not path:
        raise ValueError("the simulator replay needs the option path: the transcripts.jsonl of a run")
    return ReplayUser.load(Path(path))


_MAKERS: dict[str, Callable[..., User]] = {"rule": _rule, "llm": _llm, "replay": _replay, "human": HumanUser}
SIMULATORS = tuple(_MAKERS)


def simulator(name: str = "rule", *, persona: str = "", seed: int = 0, **options: Any) -> User:
    """A user by name.

    Args:
        name: one of `SIMULATORS`.
        persona: levels of traits over any simulator, "terse=2,typos=1" (`traits.TRAITS`); or, of the rule simulator, one
            of its `PERSONAS`, which word generated facts only.
        seed: of everything that is drawn.
        options: the simulator's own: `model`, `base_url`, `api_key`, `temperature`, ... (llm), `path` (replay),
            `show`, `hear`, `converse` (human).

    Raises:
        ValueError: no such simulator, persona, level or option; the message says what there is.
    """
    if name not in _MAKERS:
        raise ValueError(f"no user simulator {name!r}; there are {', '.join(SIMULATORS)}")
    named = name == "rule" and persona in PERSONAS
    traits = Traits() if named else Traits.parse(persona)
    if named:
        options["persona"] = persona
    if name in ("rule", "llm"):
        options["seed"] = seed
    try:
        user = _MAKERS[name](**options)
    except TypeError as error:
        raise ValueError(f"the simulator {name} has no such option: {str(error).rpartition('argument ')[2]}") from error
    return TraitUser(user, traits, seed) if traits != Traits() else user
