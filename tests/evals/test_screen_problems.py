"""The gateway's question screen on questions of word problems: all must reach the user."""

from __future__ import annotations

from random import Random

from evals.problems import SPLITS, generate, question
from pir_serve.screening import RuleScreen, load_screening


def test_no_question_of_the_generator_is_kept_from_the_user() -> None:
    (screen,) = load_screening().screens
    assert isinstance(screen, RuleScreen)
    asked = {
        question(fact, Random(f"{problem.row_id} {fact.id}"))
        for split in SPLITS
        for problem in generate(split, 600, seed=11, mode="incomplete")
        for fact in problem.hidden
    }
    assert len(asked) > 1500
    blocked = sorted(text for text in asked if screen.decide(text).action != "allow")
    assert blocked == []
