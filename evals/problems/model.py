"""What a problem is: its facts, its reasoning and its answer. No text is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Split = Literal["train", "validation", "heldout_numbers", "heldout_templates", "heldout_families"]
Visibility = Literal["shown", "vague", "dropped"]
StepKind = Literal["premise", "reading", "operation"]

SPLITS: tuple[Split, ...] = ("train", "validation", "heldout_numbers", "heldout_templates", "heldout_families")


@dataclass(frozen=True, slots=True)
class Fact:
    """One number (or one reading of a number) that the problem is made of."""

    id: str
    kind: str
    """Name of the premise kind, which knows how it is said, asked for and replied to."""
    text: str
    """The sentence that states it in the complete problem."""
    phrase: str
    """What it measures, e.g. "the price of one pen"."""
    value: int
    unit: str
    """What the value counts; for a reading, which of the readings is meant ("each", "days")."""
    visibility: Visibility
    needed: bool
    """Whether the answer depends on it; False for distractors."""
    slots: Mapping[str, str]
    """Names and nouns that fill the kind's sentences."""

    @property
    def hidden(self) -> bool:
        return self.visibility != "shown"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; slots are pairs, because a table of rows wants the same keys in each."""
        return {
            "id": self.id,
            "kind": self.kind,
            "text": self.text,
            "phrase": self.phrase,
            "value": self.value,
            "unit": self.unit,
            "hidden": self.hidden,
            "visibility": self.visibility,
            "needed": self.needed,
            "slots": [[key, word] for key, word in self.slots.items()],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fact:
        fields = {key: data[key] for key in ("id", "kind", "text", "phrase", "value", "unit", "visibility", "needed")}
        return cls(**fields, slots=dict(data["slots"]))


@dataclass(frozen=True, slots=True)
class Step:
    """One line of reasoning."""

    id: str
    kind: StepKind
    text: str
    fact_id: str | None
    """The fact this line states; None for an operation."""
    uses: tuple[str, ...]
    """Ids of the facts and steps that an operation works on."""
    value: int

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind,
            "text": self.text,
            "fact_id": self.fact_id,
            "uses": list(self.uses),
            "value": self.value,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        return cls(**{**data, "uses": tuple(data["uses"])})


@dataclass(frozen=True, slots=True)
class Problem:
    """A word problem; `pair_id` is shared by its complete and its incomplete version."""

    row_id: str
    pair_id: str
    family: str
    goal: str
    split: Split
    shown: str
    """What the model reads."""
    full: str
    """The complete text: the user's intent."""
    facts: tuple[Fact, ...]
    steps: tuple[Step, ...]
    gold: str

    @property
    def hidden(self) -> tuple[Fact, ...]:
        """The facts that `shown` does not give."""
        return tuple(fact for fact in self.facts if fact.hidden)

    def to_json(self) -> dict[str, Any]:
        return {
            "row_id": self.row_id,
            "pair_id": self.pair_id,
            "family": self.family,
            "goal": self.goal,
            "split": self.split,
            "shown": self.shown,
            "full": self.full,
            "facts": [fact.to_json() for fact in self.facts],
            "steps": [step.to_json() for step in self.steps],
            "gold": self.gold,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Problem:
        fields = {key: data[key] for key in ("row_id", "pair_id", "family", "goal", "split", "shown", "full", "gold")}
        facts = tuple(Fact.from_json(fact) for fact in data["facts"])
        return cls(**fields, facts=facts, steps=tuple(Step.from_json(step) for step in data["steps"]))


def reasoning(problem: Problem) -> list[Step]:
    """The lines of reasoning, in order."""
    return list(problem.steps)


def trace(problem: Problem) -> str:
    """The reasoning as text, a line a step."""
    return "\n".join(step.text for step in problem.steps)


def answer_text(problem: Problem) -> str:
    """What follows the reasoning: the answer in a box."""
    return f"The answer is \\boxed{{{problem.gold}}}."
