"""Who plays the user of a group of rollouts: one of a mix, drawn by weight, the same for the whole group."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evals.simulators import PERSONAS, User, simulator


@dataclass(frozen=True, slots=True)
class Users:
    """Users of one simulator in a mix of personas. Made by `parse`."""

    name: str
    weights: tuple[tuple[str, float], ...]
    seed: int
    options: Mapping[str, Any]
    _made: dict[str, User] = field(default_factory=dict, repr=False)
    """Of simulators other than the rule user, one a persona: they hold connections."""

    @classmethod
    def parse(
        cls, personas: str, *, name: str = "rule", seed: int = 0, options: Mapping[str, Any] | None = None
    ) -> Users:
        """Read `clean*4; typos; terse=2,typos=1 * 0.5`; a persona without a weight has 1.

        Raises:
            ValueError: no such simulator, persona or option (`evals.simulators.simulator`), or no such weight.
        """
        weights: list[tuple[str, float]] = []
        for item in personas.split(";"):
            persona, _, weight = (part.strip() for part in item.partition("*"))
            try:
                weights.append((persona, float(weight or 1.0)))
            except ValueError as error:
                raise ValueError(f"personas: the weight of {persona} is {weight!r}, which is no number") from error
        if sum(weight for _, weight in weights) <= 0 or any(weight < 0 for _, weight in weights):
            raise ValueError("personas: weights must not be negative, nor all of them 0")
        users = cls(name, tuple(weights), seed, dict(options or {}))
        for persona, _ in weights:
            users.make(persona, seed)
        return users

    @property
    def speak_any_facts(self) -> bool:
        """Whether none is a persona that words generated facts only."""
        return self.name != "rule" or not {p for p, w in self.weights if w} & (set(PERSONAS) - {"clean"})

    def make(self, persona: str, seed: int) -> User:
        if self.name == "rule":
            return simulator(self.name, persona=persona, seed=seed, **self.options)
        if persona not in self._made:
            self._made[persona] = simulator(self.name, persona=persona, seed=self.seed, **self.options)
        return self._made[persona]

    def draw(self, key: str) -> User:
        """The user that belongs to `key`, always the same."""
        rng = random.Random(f"{self.seed}/{key}")
        personas = [persona for persona, _ in self.weights]
        persona = rng.choices(personas, [weight for _, weight in self.weights])[0]
        return self.make(persona, rng.randrange(1 << 30))
