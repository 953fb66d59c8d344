"""One server of a pool: whether it gets legs, and what speaks against that."""

from __future__ import annotations

import asyncio
import enum

from pir_serve.engines.base import Engine

STRIKES = 3
"""Legs failed in a row, after which a server must pass a trial before it gets another, well as it may seem."""


class State(enum.StrEnum):
    UP = "up"
    SUSPECT = "suspect"
    """It has just failed a leg; a probe, which is under way, decides. No legs meanwhile."""
    DOWN = "down"
    """It gets legs again when it has passed a trial: a start from the beginning, two generated tokens included."""
    DRAINING = "draining"
    """It gets none, and those that it has run to their end. Only told, never set: see `Member.condition`."""


class Member:
    """What a pool knows of one of its servers; the pool decides."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.name
        self.state = State.DOWN
        self.num_legs = 0
        """That run on it now."""
        self.strikes = 0
        """Legs failed since the last one that went well."""
        self.missed = 0
        """Probes in a row without an answer."""
        self.failed_trials = 0
        """In a row, though its probe was answered."""
        self.wanted = asyncio.Event()
        """Set when it is to be examined at once."""

    @property
    def condition(self) -> State:
        """For people and metrics."""
        return State.DRAINING if self.state is State.DOWN and self.num_legs else self.state

    def suspect(self) -> None:
        """It has failed a leg."""
        self.strikes += 1
        if self.strikes > STRIKES:
            self.state = State.DOWN  # until the next look in its turn: it passes trials and fails legs
        elif self.state is State.UP:
            self.state = State.SUSPECT
            self.wanted.set()

    def restore(self) -> None:
        """It has passed a trial."""
        self.state = State.UP
        self.missed = self.failed_trials = 0
