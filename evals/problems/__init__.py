"""Generated word problems whose premises can be removed: for training and for evaluation."""

from evals.problems.generate import (
    FAMILIES,
    HELDOUT_FAMILIES,
    TRAIN_FAMILIES,
    VERSION,
    Mode,
    families_of,
    generate,
    make_pair,
)
from evals.problems.kinds import KINDS, PremiseKind, question
from evals.problems.model import (
    SPLITS,
    Fact,
    Problem,
    Split,
    Step,
    StepKind,
    Visibility,
    answer_text,
    reasoning,
    trace,
)

__all__ = [
    "FAMILIES",
    "HELDOUT_FAMILIES",
    "KINDS",
    "SPLITS",
    "TRAIN_FAMILIES",
    "VERSION",
    "Fact",
    "Mode",
    "PremiseKind",
    "Problem",
    "Split",
    "Step",
    "StepKind",
    "Visibility",
    "answer_text",
    "families_of",
    "generate",
    "make_pair",
    "question",
    "reasoning",
    "trace",
]
