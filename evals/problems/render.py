"""A plan becomes text: sentences, their order, what is hidden, the question and the lines of reasoning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from evals.problems.builder import Builder, Operand, PlannedFact, PlannedStep
from evals.problems.grammar import capital, fill, skeletons
from evals.problems.kinds import KINDS
from evals.problems.model import Fact, Step, Visibility
from evals.problems.names import BY_NAME, Person
from evals.problems.numbers import in_words

SHARE_IN_WORDS = 0.08
"""Of the numbers up to one hundred, how many are written as words: enough to learn the words."""
SHARE_SHUFFLED = 0.35
SHARE_ASIDE = 0.2
SHARE_JOINED = 0.12
SHARE_PRONOUN = 0.35
SHARE_IF = 0.08
SHARE_QUESTION_FIRST = 0.05

_EVENTS = frozenset(
    "gets gives_away uses years_on spoiled span_each span_all give_each give_all spends loose".split()  # noqa: SIM905
)
"""Kinds that follow on what was said before: a problem with one of them keeps its order."""
_LOOKS_BACK = ("then", "that", "this", "At that", "they", "the two", "At the end")

_NAMING_QUESTIONS = """
What is {target}?
Find {target}.
[Work out|Calculate] {target}.
[Can|Could] you [work out|find|calculate] {target}?
Please [tell me|find|work out] {target}.
[Can|Could] you tell me {target}?
Tell me {target}.
Please can you [find|tell me] {target}?
"""
SHARE_NAMING = 0.4
SHARE_READING = 0.5
"""How often a reading, where there is one, takes the place of another hidden fact: they are rare else."""
SHARE_DROPPED = 0.6
"""Of the hidden facts that may be left out altogether; the others are vague."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One fact in words, with the choices that hold whether or not another fact is hidden."""

    fact: PlannedFact
    needed: bool
    text: str
    says_pronoun: bool
    joins_next: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """All choices of wording of a complete problem."""

    sentences: tuple[Sentence, ...]
    question: str
    question_first: bool
    asks_with_if: bool
    people: tuple[str, ...]


def needed_ids(plan: Builder) -> frozenset[str]:
    return frozenset(operand.id for step in plan.steps for operand in step.operands if isinstance(operand, PlannedFact))


def _number(value: int, rng: Random) -> str:
    return in_words(value) if rng.random() < SHARE_IN_WORDS and value <= 100 else str(value)


def _aside(plan: Builder, family: str, rng: Random) -> PlannedFact:
    """A fact that nobody needs."""
    names = ["aside_friend_age", "aside_thing", "aside_shelf", "aside_home", "aside_day"]
    name = names[int(rng.random() * len(names))] if family == "ages" or rng.random() < 0.8 else "aside_age"
    if family == "ages" and name == "aside_friend_age":
        name = "aside_home"
    thing = plan.goods()[0]
    while thing.many in plan.slots.values():
        thing = plan.goods()[0]
    slots = {**plan.slots, "thing": thing.one, "things": thing.many}
    high = {"aside_age": 60, "aside_friend_age": 60, "aside_day": 28}.get(name, 20)
    return PlannedFact(f"f{len(plan.facts) + 1}", KINDS[name], 4 + int(rng.random() * (high - 3)), slots, False)


def _shuffle(facts: list[PlannedFact], plan: Builder, rng: Random) -> None:
    if not plan.twins:
        rng.shuffle(facts)
    elif len(facts) >= 4:
        order = [(0, 1, 3, 2), (1, 0, 2, 3), (1, 0, 3, 2)][int(rng.random() * 3)]
        facts[:4] = [facts[place] for place in order]


def draft(plan: Builder, family: str, *, held_out: bool) -> Draft:
    """Choose the words of a complete problem with the plan's own generator."""
    rng = plan.rng
    needed = needed_ids(plan)
    facts = list(plan.facts)
    if rng.random() < SHARE_SHUFFLED and not any(fact.kind.name in _EVENTS for fact in facts):
        _shuffle(facts, plan, rng)
    if rng.random() < SHARE_ASIDE:
        facts.insert(int(rng.random() * (len(facts) + 1)), _aside(plan, family, rng))
    sentences = []
    for fact in facts:
        slots = {**fact.slots, "v": _number(fact.value, rng)}
        text = fill(fact.kind.says.choose(rng, held_out=held_out), slots, rng)
        pronoun, joins = rng.random() < SHARE_PRONOUN, rng.random() < SHARE_JOINED
        sentences.append(Sentence(fact, fact.id in needed, text, pronoun, joins))
    slots = plan.slots
    if rng.random() < SHARE_NAMING:
        target = fill(plan.target, slots, rng)
        target = target[0].lower() + target[1:]
        question = fill(skeletons(_NAMING_QUESTIONS).choose(rng, held_out=held_out), {"target": target}, rng)
    else:
        question = fill(skeletons(plan.questions).choose(rng, held_out=held_out), slots, rng)
    first, with_if = rng.random() < SHARE_QUESTION_FIRST, rng.random() < SHARE_IF
    first = first and not any(word in question for word in _LOOKS_BACK)
    people = tuple(plan.people)
    return Draft(tuple(sentences), question, first, with_if and not first, people)


def hide(plan: Draft, rng: Random, *, held_out: bool) -> dict[str, tuple[Visibility, str]]:
    """Choose one or two needed facts and what stands in their place: id -> (how, text)."""
    needed = [sentence for sentence in plan.sentences if sentence.needed]
    count = 2 if len(needed) >= 3 and rng.random() < 0.25 else 1
    chosen = rng.sample(needed, count)
    readings = [sentence for sentence in needed if sentence.fact.kind.reading]
    if readings and readings[0] not in chosen and rng.random() < SHARE_READING:
        chosen[0] = readings[0]
    hidden: dict[str, tuple[Visibility, str]] = {}
    for sentence in chosen:
        fact = sentence.fact
        dropped = fact.implied and not fact.kind.reading and rng.random() < SHARE_DROPPED
        # With two of them gone nobody could tell what is missing.
        if dropped and "dropped" not in (how for how, _ in hidden.values()):
            hidden[fact.id] = ("dropped", "")
            continue
        vague = fact.kind.vague.choose(rng, held_out=held_out)
        while count > 1 and "{n}" in vague:  # would tell the other hidden fact
            vague = fact.kind.vague.choose(rng, held_out=held_out)
        slots = {**fact.slots, "v": str(fact.value)}
        hidden[fact.id] = ("vague", fill(vague, slots, rng))
    return hidden


def is_answerable(plan: Draft, reasoning: str, text: str) -> bool:
    """Whether the text has every name and noun that the reasoning and the questions need."""
    if any(name in reasoning and name not in text for name in plan.people):
        return False
    lowered = text.lower()
    return all(
        any(form in lowered for form in _forms(sentence.fact.slots, key))
        for sentence in plan.sentences
        if sentence.needed
        for key in sentence.fact.kind.entities
    )


def _forms(slots: Mapping[str, str], key: str) -> list[str]:
    """The entity that fills a slot, in lower case: singular and plural of a noun, the three forms of a verb."""
    base = "act" if key.startswith("act") else key.removesuffix("'s")
    if base not in slots or base.removesuffix("s") in slots:
        base = base.removesuffix("s")
    base = {"dishe": "dish"}.get(base, base)
    return [slots[form].lower() for form in (base, base + "s", base + "es", base + "ing") if form in slots]


def _lower(text: str, people: Iterable[str]) -> str:
    return text if text.startswith(tuple(people)) or text.startswith("T-") else text[0].lower() + text[1:]


def _with_pronoun(text: str, person: Person) -> str:
    if text.startswith(person.name + " "):
        return person.subject + text[len(person.name) :]
    if text.startswith(person.name + "'s "):
        return person.possessive + text[len(person.name) + 2 :]
    return text


def compose(plan: Draft, hidden: Mapping[str, tuple[Visibility, str]]) -> str:
    """The problem text with some sentences left out or replaced."""
    only = BY_NAME.get(plan.people[0]) if len(plan.people) == 1 else None
    named = plan.question_first and only is not None and only.name in plan.question
    parts: list[str] = []
    joining = False
    after_aside = False
    for sentence in plan.sentences:
        how, text = hidden.get(sentence.fact.id, ("shown", sentence.text))
        if how == "dropped":
            continue
        if only is not None:
            if named and sentence.says_pronoun and not after_aside:
                text = _with_pronoun(text, only)
            named = named or only.name in text
        after_aside = sentence.fact.kind.distractor  # it may be about a friend, who is not "he"
        if joining and parts and not text.startswith("Think"):
            parts[-1] = parts[-1][:-1] + ", and " + _lower(text, plan.people)
            joining = False
        else:
            parts.append(text)
            joining = sentence.joins_next and "," not in text
    question = plan.question
    if plan.question_first:
        return " ".join([question, *parts])
    if plan.asks_with_if and parts and not parts[-1].startswith("If ") and "," not in parts[-1] and "," not in question:
        parts[-1] = f"If {_lower(parts[-1], plan.people)[:-1]}, {_lower(question, plan.people)}"
        return " ".join(parts)
    return " ".join([*parts, question])


def facts_of(plan: Draft, hidden: Mapping[str, tuple[Visibility, str]]) -> tuple[Fact, ...]:
    """The facts in the order of the text."""
    facts = []
    for sentence in plan.sentences:
        fact = sentence.fact
        slots = {**fact.slots, "v": str(fact.value)}
        facts.append(
            Fact(
                id=fact.id,
                kind=fact.kind.name,
                text=sentence.text,
                phrase=_plain(fact.kind.phrase, slots),
                value=fact.value,
                unit=_plain(fact.kind.unit, slots),
                visibility=hidden.get(fact.id, ("shown", ""))[0],
                needed=sentence.needed,
                slots=fact.slots,
            )
        )
    return tuple(facts)


def _plain(skeleton: str, slots: Mapping[str, str]) -> str:
    return skeleton.format_map(slots)


class _Reasoner:
    """Writes the lines: each premise just before the operation that needs it, readings first of all."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._stated: set[str] = set()

    def state(self, fact: PlannedFact) -> None:
        if fact.id in self._stated:
            return
        self._stated.add(fact.id)
        text = fact.kind.state(fact.value, fact.slots)
        kind = "reading" if fact.kind.reading else "premise"
        self.steps.append(Step(f"p{fact.id[1:]}", kind, text, fact.id, (), fact.value))  # type: ignore[arg-type]

    def calculate(self, step: PlannedStep) -> None:
        for operand in step.operands:
            if isinstance(operand, PlannedFact):
                self.state(operand)
        a, b = (_operand_value(operand) for operand in step.operands)
        uses = tuple(operand.id for operand in step.operands if not isinstance(operand, int))
        unit = f" {step.unit}" if step.unit else ""
        label = capital(step.label.format_map(step.slots))
        text = f"{label} is {a} {step.operator} {b} = {step.value}{unit}."
        self.steps.append(Step(step.id, "operation", text, None, uses, step.value))


def _operand_value(operand: Operand) -> int:
    return operand if isinstance(operand, int) else operand.value


def steps_of(plan: Builder) -> tuple[Step, ...]:
    """The canonical reasoning."""
    reasoner = _Reasoner()
    needed = needed_ids(plan)
    for fact in plan.facts:
        # A reading decides which operations follow: stated later, its doubt would show in some earlier line.
        if fact.kind.reading and fact.id in needed:
            reasoner.state(fact)
    for step in plan.steps:
        reasoner.calculate(step)
    return tuple(reasoner.steps)
