"""The little language in which families describe a goal: entities, facts, operations, question.

A goal function samples its numbers and records what happens; no sentence is made until the problem is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeVar

from evals.problems import nouns
from evals.problems.kinds import KINDS, PremiseKind
from evals.problems.names import PEOPLE, Person
from evals.problems.nouns import Noun

Entity = Person | Noun | tuple[str, str, str] | str
Operator = Literal["+", "-", "*", "/"]
T = TypeVar("T")

MAX_VALUE = 999


class Reject(Exception):
    """The sampled numbers make no good problem; sample again."""


@dataclass(frozen=True, slots=True)
class PlannedFact:
    """A fact before it has words."""

    id: str
    kind: PremiseKind
    value: int
    slots: dict[str, str]
    implied: bool


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """An operation before it has words; operands are facts, earlier steps or known constants."""

    id: str
    operator: Operator
    operands: tuple[PlannedFact | PlannedStep | int, PlannedFact | PlannedStep | int]
    value: int
    label: str
    unit: str
    slots: dict[str, str]


Operand = PlannedFact | PlannedStep | int


def _value(operand: Operand) -> int:
    return operand if isinstance(operand, int) else operand.value


def _spread(name: str, entity: Entity, slots: dict[str, str]) -> None:
    """Put an entity's forms into the slots."""
    if isinstance(entity, str):
        slots[name] = entity
    elif isinstance(entity, Person):
        slots[name] = entity.name
        slots[name + "'s"] = entity.name + "'s"
    elif isinstance(entity, Noun):
        slots[name] = entity.one
        slots["dishes" if name == "dish" else name + "s"] = entity.many
        if name == "item":
            slots["stuff"] = entity.many.removeprefix("litres of ")
        slots["an_" + name] = slots["a_" + name] = entity.with_article
    else:
        slots[name], slots[name + "s"], slots[name[:3] + "ing"] = entity


@dataclass
class Builder:
    """Collects one problem."""

    rng: Random
    slots: dict[str, str] = field(default_factory=dict)
    facts: list[PlannedFact] = field(default_factory=list)
    steps: list[PlannedStep] = field(default_factory=list)
    target: str = ""
    questions: str = ""
    twins: bool = False
    """Two equal halves (two things bought, two rides): the first one told is the first one reasoned about."""
    people: list[str] = field(default_factory=list)

    # --- sampling ---------------------------------------------------------------------------------------------------

    def pick(self, options: tuple[T, ...]) -> T:
        return options[int(self.rng.random() * len(options))]

    def person(self) -> Person:
        """Somebody who is not in the problem yet."""
        while True:
            person = self.pick(PEOPLE)
            if person.name not in self.people:
                self.people.append(person.name)
                return person

    def goods(self, count: int = 1) -> tuple[Noun, ...]:
        """Different things from one group of goods."""
        return tuple(self.rng.sample(self.pick(nouns.GOODS), count))

    def between(self, low: int, high: int) -> int:
        return low + int(self.rng.random() * (high - low + 1))

    def factor(self) -> int:
        return self.between(2, 12)

    def big_factor(self) -> int:
        return self.between(2, 20)

    # --- recording --------------------------------------------------------------------------------------------------

    def use(self, **entities: Entity) -> None:
        """Entities that every sentence of the problem may name."""
        for name, entity in entities.items():
            _spread(name, entity, self.slots)

    def _slots(self, overrides: dict[str, Entity]) -> dict[str, str]:
        if not overrides:
            return self.slots
        slots = dict(self.slots)
        for name, entity in overrides.items():
            _spread(name, entity, slots)
        return slots

    def fact(self, name: str, value: int, *, implied: bool = True, **overrides: Entity) -> PlannedFact:
        """State a fact; overrides replace entities for this sentence.

        `implied` is False where nobody could know that the fact exists once its sentence is gone.
        """
        kind = KINDS[name]
        fact = PlannedFact(f"f{len(self.facts) + 1}", kind, value, self._slots(overrides), implied and kind.implied)
        self.facts.append(fact)
        return fact

    def op(self, a: Operand, operator: Operator, b: Operand, label: str, unit: str, **overrides: Entity) -> PlannedStep:
        """Calculate. `unit` is empty where the label says "the number of ...".

        Raises:
            Reject: the result is not a whole number from 2 to 999.
        """
        x, y = _value(a), _value(b)
        if operator == "/" and x % y:
            raise Reject
        value = {"+": x + y, "-": x - y, "*": x * y, "/": x // y}[operator]
        if not 2 <= value <= MAX_VALUE:
            raise Reject
        step = PlannedStep(f"s{len(self.steps) + 1}", operator, (a, b), value, label, unit, self._slots(overrides))
        self.steps.append(step)
        return step

    def goal(self, a: Operand, operator: Operator, b: Operand, target: str, unit: str, questions: str) -> None:
        """The last operation, whose result is asked for: in the words of `questions`, or by naming the target."""
        self.op(a, operator, b, target, unit)
        self.target = target
        self.questions = questions


Goal = Callable[[Builder], None]

GOALS: dict[str, dict[str, Goal]] = {}
"""Family -> goal name -> function."""


def goal(family: str) -> Callable[[Goal], Goal]:
    """Register a goal function of a family, under its own name."""

    def register(function: Goal) -> Goal:
        goals = GOALS.setdefault(family, {})
        name = function.__name__
        if name in goals:
            raise ValueError(f"goal {family}/{name} is defined twice")
        goals[name] = function
        return function

    return register
