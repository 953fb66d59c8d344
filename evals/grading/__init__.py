"""Whether a transcript's answer is right."""

from evals.grading.door import GradingOptions, grade
from evals.grading.math import extract_answer, is_correct, last_boxed, number, stated_answer
from evals.grading.result import Grade, Verdict

__all__ = [
    "Grade",
    "GradingOptions",
    "Verdict",
    "extract_answer",
    "grade",
    "is_correct",
    "last_boxed",
    "number",
    "stated_answer",
]
