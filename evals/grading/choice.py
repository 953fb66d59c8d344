"""Multiple choice: the letter that a reply gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from evals.grading.math import stated_answer
from evals.grading.result import Grade

GRADER = "choice/1"

_LETTER = re.compile(r"[\s*(\[]*(?:option|choice)?\s*[(\[*]*(?P<letter>[A-Za-z])(?:[)\].:,*\s]|$)", re.IGNORECASE)
_WRAPPING = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}")


def chosen_letter(final: str, options: Sequence[str]) -> str | None:
    """The letter chosen, in capitals; None if none of the options is.

    Read from the box, from "the answer is (B)" or "Answer: B", or from a reply of nothing else; a box may hold the
    option's text. A letter somewhere in a sentence is no choice: "A" is an article too.
    """
    stated = stated_answer(final)
    text = _WRAPPING.sub(r"\1", final if stated is None else stated).strip()
    texts = [option.strip().casefold() for option in options]
    if text.casefold() in texts:
        return ascii_uppercase[texts.index(text.casefold())]
    found = _LETTER.match(text)
    if found is None or (stated is None and len(text) > len("(B).")):
        return None
    letter = found["letter"].upper()
    return letter if letter in ascii_uppercase[: len(options)] else None


def grade_choice(final: str, gold: str, options: Sequence[str]) -> Grade:
    """`gold` is a letter."""
    letter = chosen_letter(final, options)
    if letter is None:
        return Grade("unparsed", 0.0, GRADER)
    right = letter == gold.strip().upper()
    return Grade("correct" if right else "wrong", float(right), GRADER, letter)
