"""Whether a transcript's answer is right."""

from evals.grading.math import THINK_CLOSE, extract_answer, is_correct, last_boxed, number
from evals.grading.result import Grade, Verdict

__all__ = ["THINK_CLOSE", "Grade", "Verdict", "extract_answer", "is_correct", "last_boxed", "number"]
