"""Whether a completion's answer is right: finding the box, and comparing numbers by value.

No expression is evaluated: an answer is a number, a fraction or a percentage with perhaps a unit, or it is compared
as text.
"""

from __future__ import annotations

import re
from fractions import Fraction

THINK_CLOSE = "</think>"

MAX_NUMBER_CHARS = 200
"""A longer answer is no number: long digit strings are slow to convert, and Python refuses them."""

_BOX = "\\boxed"
_NUMBER = re.compile(
    r"""^(?P<sign>[+-]?)\s*
    (?:
        \\[dt]?frac\{\s*(?P<latex_over>-?\d+)\s*\}\{\s*(?P<latex_under>\d+)\s*\}
      | (?P<over>\d+)\s*/\s*(?P<under>\d+)
      | (?P<whole>\d{1,3}(?:,\d{3})+|\d+)?(?P<decimals>\.\d+)?
    )
    \s*(?P<rest>.*)$""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_UNIT = re.compile(r"^[a-z°²³^\s./\d-]*$", re.IGNORECASE)
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mbox)\{([^{}]*)\}")


def extract_answer(text: str) -> str | None:
    """What stands in the last `\\boxed{}` after `</think>`; None without one.

    Text that never closes its reasoning has not answered yet. An empty box is an empty answer, not a missing one.
    """
    _, closed, answer = text.rpartition(THINK_CLOSE)
    if not closed:
        return None
    return last_boxed(answer)


def last_boxed(text: str) -> str | None:
    """The content of the last box whose braces balance."""
    end = len(text)
    while (start := text.rfind(_BOX, 0, end)) >= 0:
        content = _balanced(text, start + len(_BOX))
        if content is not None:
            return content
        end = start
    return None


def _balanced(text: str, start: int) -> str | None:
    """The text between the brace at `start` (spaces aside) and its partner."""
    start += len(text[start:]) - len(text[start:].lstrip())
    if text[start : start + 1] != "{":
        return None
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "\\":
            continue
        escaped = text[place - 1] == "\\"
        if text[place] == "{" and not escaped:
            depth += 1
        elif text[place] == "}" and not escaped:
            depth -= 1
            if depth == 0:
                return text[start + 1 : place].strip()
    return None


def _clean(answer: str) -> str:
    answer = _TEXT.sub(r" \1 ", answer.strip())
    for mark in ("\\$", "$", "\\!", "\\,", "\\;", "\\left", "\\right", "\\(", "\\)", "£", "€"):
        answer = answer.replace(mark, "")
    answer = answer.replace("\\%", "%").replace("−", "-").replace("{,}", ",").replace("\\ ", " ").replace("~", " ")
    return " ".join(answer.split()).strip().removesuffix(".").strip()


def number(answer: str) -> Fraction | None:
    """The value of an answer that is one number, with or without a unit after it; None if it is not."""
    text = _clean(answer)
    found = _NUMBER.match(text) if len(text) <= MAX_NUMBER_CHARS else None
    if found is None:
        return None
    value = _value(found)
    if value is None:
        return None
    rest = found["rest"].strip()
    if rest.startswith(("%", "percent")):
        value, rest = value / 100, rest.removeprefix("percent").removeprefix("%").strip()
    if rest and (not _UNIT.match(rest) or (not rest[0].isalpha() and rest[0] != "°")):
        return None
    if re.search(r"(?:^|\s)\d", rest):  # "3 pens and 4 caps" is not one number
        return None
    return -value if found["sign"] == "-" else value


def _value(found: re.Match[str]) -> Fraction | None:
    if found["latex_under"] is not None or found["under"] is not None:
        over, under = (
            (found["latex_over"], found["latex_under"]) if found["latex_under"] else (found["over"], found["under"])
        )
        return Fraction(int(over), int(under)) if int(under) else None
    if found["whole"] is None and found["decimals"] is None:
        return None
    return Fraction((found["whole"] or "0").replace(",", "") + (found["decimals"] or ""))


def is_correct(answer: str | None, gold: str) -> bool:
    """Whether the answer equals the gold: by value if both are numbers, else as text without case and spaces."""
    if answer is None or not answer.strip():
        return False
    mine, right = number(answer), number(gold)
    if mine is not None and right is not None:
        return mine == right
    if mine is not None or right is not None:
        return False
    return "".join(_clean(answer).lower().split()) == "".join(_clean(gold).lower().split())
