"""The passive model's training text: solved problems, some of them reasoned over facts that the prompt does not show.

Those guesses are a modelling choice, stated in the model card: a model that never saw reasoning over unstated facts
copies a nearby number with confidence, and its step entropy has nothing to find.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evals.problems import Problem, Split, make_pair, trace
from pir_serve.trajectory import Author
from training.chat import Part, answer, prompt


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares of the base corpus; what remains are single complete problems."""

    guessed: float = 0.15
    """Problems with a hidden fact, whose value the reasoning states all the same."""
    follow_up: float = 0.04
    """Problems that come as the second turn of a conversation."""
    families: tuple[str, ...] = ()
    """Only these families of problems, in turn; empty: all, at random. For runs in miniature."""
    drills: float = 0.25
    """Sums without a story: a problem holds two operations in a hundred tokens, a drill ten, and in a trial run nearly
    all of a half-trained model's mistakes were wrong sums."""


def solved(problem: Problem, *before: str) -> list[Part]:
    """One example: earlier turns, the problem as shown, and its reasoning and answer by the model."""
    reasoning = f"{trace(problem)}\n{answer(problem.gold)}"
    return [prompt(*before, problem.shown), Part(Author.MODEL, reasoning)]


def drill(rng: random.Random) -> list[Part]:
    """Ten sums in the words of an operation's line."""
    sums = [_sum(rng) for _ in range(10)]
    lines = "".join(f"It is {text} = {value}.\n" for text, value in sums)
    return [prompt("Work out ten sums."), Part(Author.MODEL, lines + answer(str(sums[-1][1])))]


def _sum(rng: random.Random) -> tuple[str, int]:
    """An operation with whole results from 2 to 999; small numbers are frequent, as they are in problems."""
    while True:
        operator = rng.choice("++--***///")
        a = rng.randint(2, rng.choice((12, 20, 100, 400)))
        b = rng.randint(2, rng.choice((12, 20, 100, 400) if operator in "+-" else (12, 20)))
        if operator in "*/" and rng.random() < 0.5:
            a, b = b, a
        if operator == "/":
            a = a * b
        value = {"+": a + b, "-": a - b, "*": a * b, "/": a // b}[operator]
        if 2 <= value <= 999 and a <= 999:
            return f"{a} {operator} {b}", value


def visible_answer(problem: Problem) -> str:
    return f"The answer is \\boxed{{{problem.gold}}}."


def base_examples(split: Split, seed: int, n: int, mixture: Mixture) -> Iterator[list[Part]]:
    """`n` examples of passive reasoning, the same for the same arguments."""
    rng = random.Random(f"base:{split}:{seed}")
    problems: Sequence[Problem] = []
    for complete, incomplete in generate_pairs(split, n, seed, families=mixture.families):
        if rng.random() < mixture.drills:
            yield drill(rng)
            continue
        draw = rng.random()
        if draw < mixture.guessed:
            yield solved(incomplete)
        elif draw < mixture.guessed + mixture.follow_up and problems:
            earlier = rng.choice(problems)
            yield solved(complete, earlier.shown, visible_answer(earlier))
        else:
            yield solved(complete)
        problems = (*problems[-20:], complete)


def generate_pairs(
    split: Split, n: int, seed: int, start: int = 0, *, families: Sequence[str] = ()
) -> Iterator[tuple[Problem, Problem]]:
    """`n` complete and incomplete versions of the same problem, together, from index `start` on."""
    for index in range(start, start + n):
        yield make_pair(split, seed, index, families[index % len(families)] if families else None)
