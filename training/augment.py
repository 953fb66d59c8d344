"""Asking data: questions and responses put where the base model was unsure (arXiv 2601.22139, phase I).

The steps of the base model's own traces whose predictive entropy lies in the top share are taken. Where such a step states
a fact, an ask for that fact and a user's response go right BEFORE it (the paper inserts after a step; but a line that
guesses a value must not stand in training text as if it were known), and the reasoning goes on with the true value. What
the chosen steps are is the entropy's doing alone: an ask for a fact that the prompt shows stays in, as a false alarm.

Rejected, and counted by reason: a chosen operation (no user can settle an arithmetic doubt), a row whose reasoning would
still state a hidden fact that nobody asked for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evals.problems import Fact, Problem, question
from evals.simulators import PERSONAS, Exchange, Intent, Persona, RuleSimulator
from pir_serve.errors import ConfigError
from pir_serve.settings import AUTO_RESPONSE
from pir_serve.trajectory import Author
from training.chat import Part, answer, ask, prompt, response
from training.corpus import visible_answer
from training.entropy import Trace


@dataclass(frozen=True, slots=True)
class Recipe:
    """Shares of the asking data; what remains is plain."""

    top_share: float = 0.16
    """Share of all steps, by entropy, that count as uncertain."""
    placement: str = "entropy"
    """What chooses the steps: `entropy`, or for comparison `random` (as many steps, drawn evenly)."""
    copies: int = 3
    """Rows drawn from each trace, with questions, personas and phrasing of their own."""
    clean: float = 0.5
    """Rows whose user is the clean persona; the others share the rest."""
    unanswered: float = 0.06
    """Rows in which the ask policy answers instead of a user: the model goes on with a guess and asks no more."""
    rebuilt: float = 0.04
    """Rows whose questions and answers are ordinary turns before the reasoning, as after an expired suspension."""
    follow_up: float = 0.04
    """Rows that come as the second problem of a conversation."""
    volunteered: float = 0.06
    """Rows in which the user says an uncertain fact between two steps, before the model would ask for it."""
    max_repeats: int = 3
    """Asks for one fact until the user tells it."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.placement not in ("entropy", "random"):
            raise ConfigError(f"asking.placement is {self.placement!r}; it must be entropy or random")


@dataclass
class Report:
    """What was made and what was turned down."""

    rows: int = 0
    asks: int = 0
    asks_for_hidden: int = 0
    """Inserted asks whose fact the prompt hides."""
    rejected: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        right = round(self.asks_for_hidden / max(1, self.asks), 4)
        return {"rows": self.rows, "asks": self.asks, "right_fact": right, "rejected": dict(self.rejected)}


TRAINED_PERSONAS = tuple(p for p in PERSONAS if p not in ("clean", "never_knows", "new_phrasing"))


def uncertain_facts(trace: Trace, at_least: float, report: Report) -> list[str]:
    """Ids of the facts whose lines the base was unsure of, in order."""
    chosen: list[str] = []
    for step, fact_id in zip(trace.steps, trace.fact_ids, strict=True):
        if step.entropy < at_least:
            continue
        if fact_id is None:
            report.rejected["operation or unknown step"] += 1
        elif fact_id not in chosen:
            chosen.append(fact_id)
    return chosen


def _shuffled(traces: Sequence[Trace], seed: int) -> list[Trace]:
    """The same traces with all their steps' entropies dealt out anew."""
    entropies = [step.entropy for trace in traces for step in trace.steps]
    random.Random(f"placement:{seed}").shuffle(entropies)
    dealt = iter(entropies)
    return [replace(t, steps=tuple(replace(step, entropy=next(dealt)) for step in t.steps)) for t in traces]


def asking_rows(traces: Sequence[Trace], at_least: float, recipe: Recipe, report: Report) -> Iterator[dict[str, Any]]:
    """Training rows (`row_id`, `parts`, `asked`, `turns` of the prompt) in a fixed shuffled order."""
    if recipe.placement == "random":
        traces = _shuffled(traces, recipe.seed)
    rng = random.Random(f"asking:{recipe.seed}")
    chosen = [(trace, uncertain_facts(trace, at_least, report)) for trace in traces]
    order = [pair for pair in chosen for _ in range(recipe.copies)]
    rng.shuffle(order)
    earlier: list[Problem] = []
    for trace, fact_ids in order:
        problem = trace.problem
        if any(fact.needed and fact.id not in fact_ids for fact in problem.hidden):
            report.rejected["a hidden fact was not asked for"] += 1
            continue
        before: list[str] = []
        if earlier and rng.random() < recipe.follow_up:
            last = rng.choice(earlier)
            before = [last.shown, visible_answer(last)]
        if not problem.hidden:
            earlier = [*earlier[-20:], problem]
        row = _Row(problem, fact_ids, recipe, rng, before)
        report.rows += 1
        report.asks += len(row.asked)
        report.asks_for_hidden += sum(fact.id in row.asked for fact in problem.hidden)
        yield {"row_id": problem.row_id, "parts": row.parts(), "asked": row.asked, "turns": row.turns}


class _Row:
    """Writes one row: the true reasoning, with asks before the chosen facts."""

    def __init__(
        self, problem: Problem, chosen: list[str], recipe: Recipe, rng: random.Random, before: list[str]
    ) -> None:
        self.problem, self.rng, self.recipe = problem, rng, recipe
        persona: Persona = "clean" if rng.random() < recipe.clean else rng.choice(TRAINED_PERSONAS)
        self.simulator = RuleSimulator(persona=persona, seed=rng.randrange(1 << 30))
        self.intent = Intent.of(problem)
        self.history: list[Exchange] = []
        self.known: set[str] = set()
        self.silenced = False
        self.asked: list[str] = []
        self.turns: list[str] = []
        self._chosen = chosen
        self._before = before
        self._own: list[Part] = []
        self._written = ""
        self._write()

    def parts(self) -> list[dict[str, str]]:
        return [{"author": part.author.value, "text": part.text} for part in self._own]

    def _write(self) -> None:
        kind = self.rng.random()
        if kind < self.recipe.rebuilt and self._chosen:
            self._write_rebuilt()
            return
        unanswered = kind < self.recipe.rebuilt + self.recipe.unanswered
        self.turns = [*self._before, self.problem.shown]
        self._own = [prompt(*self.turns)]
        facts = {fact.id: fact for fact in self.problem.facts}
        volunteered, before_step = self._volunteered()
        for number, step in enumerate(self.problem.steps):
            if number == before_step and volunteered is not None:
                self._tell(facts[volunteered])
            if step.fact_id in self._chosen and step.fact_id is not None:
                self._ask_until_told(facts[step.fact_id], unanswered)
            self._written += step.text + "\n"
        self._own.append(Part(Author.MODEL, self._written + answer(self.problem.gold)))

    def _volunteered(self) -> tuple[str | None, int]:
        """A fact that the user says unasked, and the number of the step before which it is said."""
        if not self._chosen or self.rng.random() >= self.recipe.volunteered:
            return None, -1
        fact_id = self.rng.choice(self._chosen)
        needed_at = next(k for k, step in enumerate(self.problem.steps) if step.fact_id == fact_id)
        return fact_id, self.rng.randint(0, needed_at)

    def _tell(self, fact: Fact) -> None:
        if self._written:
            self._own.append(Part(Author.MODEL, self._written))
        self._own.append(response(fact.text))
        self._written = "\n"
        self.known.add(fact.id)

    def _ask_until_told(self, fact: Fact, unanswered: bool) -> None:
        for _ in range(self.recipe.max_repeats):
            if fact.id in self.known or self.silenced:
                return
            text = question(fact, self.rng)
            said = AUTO_RESPONSE if unanswered else self._respond(text)
            self.silenced = unanswered
            self.asked.append(fact.id)
            self._own += [Part(Author.MODEL, self._written + ask(text)), response(said)]
            self._written = "\n"

    def _respond(self, text: str) -> str:
        said = self.simulator.respond(text, intent=self.intent, history=self.history)
        self.history.append(Exchange(text, said))
        self.known |= set(said.disclosed)
        return said.text

    def _write_rebuilt(self) -> None:
        """The visible conversation as ordinary turns, then reasoning that needs no ask."""
        turns = [*self._before, self.problem.shown]
        clean = RuleSimulator(persona="clean", seed=self.rng.randrange(1 << 30))
        for fact in self.problem.facts:
            if fact.id in self._chosen:
                text = question(fact, self.rng)
                turns += [text, clean.respond(text, intent=self.intent, history=()).text]
        lines = "".join(step.text + "\n" for step in self.problem.steps)
        self.turns = turns
        self._own = [prompt(*turns), Part(Author.MODEL, lines + answer(self.problem.gold))]
