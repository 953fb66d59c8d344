"""User simulators behind one protocol: who plays the user in evaluation and in training."""

from evals.simulators.base import Exchange, Intent, Response, ResponseKind, SimulatorError, UserSimulator
from evals.simulators.rule import PERSONAS, Persona, RuleSimulator, asked_facts

__all__ = [
    "PERSONAS",
    "Exchange",
    "Intent",
    "Persona",
    "Response",
    "ResponseKind",
    "RuleSimulator",
    "SimulatorError",
    "UserSimulator",
    "asked_facts",
]
