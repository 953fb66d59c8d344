"""What a run says as it goes, for those who show it."""

from __future__ import annotations

from dataclasses import dataclass

from pir_serve.uncertainty import Step


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    text: str


@dataclass(frozen=True, slots=True)
class StepScored:
    """One reasoning step and its predictive entropy."""

    leg: int
    """Which leg of this run the step's offsets count in."""
    step: Step


LegEvent = ReasoningDelta | AnswerDelta | StepScored
