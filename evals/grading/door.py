"""One door to all graders: a row, its transcript, and how to grade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.grading.math import TIMEOUT_S, MathGrader, grade_math
from evals.grading.result import Grade
from evals.grading.sandbox import Level
from evals.rows import Row, Transcript

if TYPE_CHECKING:
    from evals.grading.judge import Judge

COVERAGE = "coverage/1"
UNFINISHED = "conversation/1"


@dataclass(frozen=True, slots=True)
class GradingOptions:
    """How to grade; part of what must be equal for two runs to be compared."""

    math: MathGrader = "math-verify"
    math_timeout_s: float = TIMEOUT_S
    code_timeout_s: float = 10.0
    """For all tests of one program."""
    sandbox: Level | None = None
    """Of programs; None: the strongest that the machine allows."""
    judge: Judge | None = None
    """Of what has no rule; without one such rows are unjudged."""


def grade(row: Row, transcript: Transcript, options: GradingOptions | None = None) -> Grade:
    """The grade of one transcript. May block for seconds: call it from a thread where that matters.

    A conversation that did not end with an answer is wrong, whatever text it left; only coverage is measured on what was
    asked until then. The row's `extra` holds what its grader needs beside the gold: `options` of a choice, `aliases` of a
    short answer, `tests`, `entry_point` and `setup` of a program.
    """
    options = options or GradingOptions()
    if row.grader == "coverage":
        return _coverage(row, transcript)
    if transcript.stop != "answer":
        return Grade("wrong", 0.0, UNFINISHED, detail={"stop": transcript.stop})
    match row.grader:
        case "math":
            return grade_math(transcript.final, row.gold, by=options.math, timeout_s=options.math_timeout_s)
        case "choice":
            from evals.grading.choice import grade_choice

            return grade_choice(transcript.final, row.gold, row.extra["options"])
        case "code":
            from evals.grading.code import grade_code

            tests, entry_point, setup = (str(row.extra.get(name, "")) for name in ("tests", "entry_point", "setup"))
            timeout_s = options.code_timeout_s
            return grade_code(
                transcript.final, tests, entry_point, setup=setup, timeout_s=timeout_s, level=options.sandbox
            )
        case "text":
            from evals.grading.text import grade_short, grade_text

            if "aliases" in row.extra:
                return grade_short(transcript.final, [row.gold, *row.extra["aliases"]])
            return grade_text(transcript.final, row.gold)
        case "judge":
            from evals.grading.judge import grade_judged

            return grade_judged(row, transcript, options.judge)
    raise ValueError(f"row {row.row_id} wants a grader that there is not: {row.grader}")


def _coverage(row: Row, transcript: Transcript) -> Grade:
    """The share of the hidden facts that the user was made to tell; all of them where none was hidden."""
    hidden = {fact.id for fact in row.hidden}
    told = {fact for turn in transcript.turns for fact in turn.disclosed} & hidden
    score = len(told) / len(hidden) if hidden else 1.0
    return Grade("correct" if score == 1 else "wrong", score, COVERAGE, detail={"told": sorted(told)})
