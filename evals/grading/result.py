"""What grading says of one transcript."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["correct", "wrong", "unparsed", "timeout", "unjudged"]
"""`unparsed`: there was no answer to read; `timeout`: it could not be compared in time; both count as wrong. `unjudged`: a
judge or a tool failed, which says nothing of the answer and counts as nothing."""


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict on one transcript, and how it came about."""

    verdict: Verdict
    score: float | None
    """0 to 1; None exactly when `unjudged`."""
    grader: str
    """Name and version of what graded, e.g. `math/2`."""
    answer: str = ""
    """What was read as the answer; empty if nothing was."""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert (self.score is None) == (self.verdict == "unjudged"), self
        assert self.score is None or 0 <= self.score <= 1, self

    @property
    def is_correct(self) -> bool:
        return self.verdict == "correct"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Grade:
        return cls(**data)
