"""User simulators behind one protocol: who plays the user in evaluation and in training."""

from evals.simulators.base import (
    Exchange,
    Intent,
    Response,
    ResponseKind,
    SimulatorError,
    User,
    UserSimulator,
)
from evals.simulators.door import SIMULATORS, simulator
from evals.simulators.rule import PERSONAS, Persona, RuleSimulator, asked_facts
from evals.simulators.traits import TRAITS, Traits

__all__ = [
    "PERSONAS",
    "SIMULATORS",
    "TRAITS",
    "Exchange",
    "Intent",
    "Persona",
    "Response",
    "ResponseKind",
    "RuleSimulator",
    "SimulatorError",
    "Traits",
    "User",
    "UserSimulator",
    "asked_facts",
    "simulator",
]
