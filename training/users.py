"""Who plays the user of a group of rollouts: a persona drawn by weight, the same for the whole group."""

from __future__ import annotations

import random
from dataclasses import dataclass

from evals.simulators import PERSONAS, Persona, RuleSimulator


@dataclass(frozen=True, slots=True)
class Users:
    """Rule users in a mix of personas."""

    weights: tuple[tuple[Persona, float], ...] = (("clean", 1.0),)
    seed: int = 0

    @classmethod
    def parse(cls, text: str, *, seed: int = 0) -> Users:
        """Read `clean=4,typos=1`; a persona without a weight has 1. Raises: ValueError."""
        weights: list[tuple[Persona, float]] = []
        for item in text.split(","):
            name, _, weight = item.strip().partition("=")
            known = next((persona for persona in PERSONAS if persona == name), None)
            if known is None:
                raise ValueError(f"personas: {name!r} is none of {', '.join(PERSONAS)}")
            try:
                weights.append((known, float(weight or 1.0)))
            except ValueError as error:
                raise ValueError(f"personas: the weight of {name} is {weight!r}, which is no number") from error
        if sum(weight for _, weight in weights) <= 0 or any(weight < 0 for _, weight in weights):
            raise ValueError("personas: weights must not be negative, nor all of them 0")
        return cls(tuple(weights), seed)

    def draw(self, key: str) -> RuleSimulator:
        """The user that belongs to `key`, always the same."""
        rng = random.Random(f"{self.seed}/{key}")
        personas = [persona for persona, _ in self.weights]
        persona = rng.choices(personas, [weight for _, weight in self.weights])[0]
        return RuleSimulator(persona, rng.randrange(1 << 30))
