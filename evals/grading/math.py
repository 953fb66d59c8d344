"""Answers of mathematics: finding the box, comparing numbers by value, and what is no number by math-verify.

The first two evaluate no expression: an answer is a number, a fraction or a percentage with perhaps a unit, or it is
compared as text. That is all that training and `pir-tiny` use; `grade` goes further.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Literal

from evals.grading.result import Grade

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
GRADER, OFFICIAL = "math/2", "math-official/1"

MAX_NUMBER_CHARS = 200
"""A longer answer is no number: long digit strings are slow to convert, and Python refuses them."""

_BOX = "\\boxed"
_NUMBER = re.compile(
    r"""^(?P<sign>[+-]?)\s*
    (?:
        \\[dt]?frac\{\s*(?P<latex_over>-?\d+)\s*\}\{\s*(?P<latex_under>\d+)\s*\}
      | (?P<over>\d+)\s*/\s*(?P<under>\d+)
      | (?P<whole>\d{1,3}(?:,\d{3})+|\d+)?(?P<decimals>\.\d+)?(?:[eE](?P<exponent>[+-]?\d{1,3})(?!\w))?
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
    return last_braced(text, _BOX)


def last_braced(text: str, command: str) -> str | None:
    """What the last `command` with balanced braces has in them."""
    end = len(text)
    while (start := text.rfind(command, 0, end)) >= 0:
        content = _balanced(text, start + len(command))
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
    if re.match(r"[eE]\d", rest):  # a power of ten beyond any answer, not a unit
        return None
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
    digits = (found["whole"] or "0").replace(",", "") + (found["decimals"] or "")
    return Fraction(digits) * Fraction(10) ** int(found["exponent"] or 0)


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


MAX_ANSWER_CHARS = 1000
"""A longer one is no answer, and would only keep the expression parser busy."""
TIMEOUT_S = 3.0
"""Of one comparison; ordinary ones take milliseconds."""

_STATES = re.compile(r"\banswer(?:\s+is)?\s*(?::|=|(?<=is)\s)\s*|^####\s*", re.IGNORECASE | re.MULTILINE)
_SENTENCE_END = re.compile(r"[.;!](?:\s|$)")
_NUMBER_BASE = re.compile(r"\d\s*_")

MathGrader = Literal["math-verify", "official", "both"]
"""`both` gives math-verify's verdict, and the official one in the detail."""


def stated_answer(final: str) -> str | None:
    """The answer that a reply gives: its last box, else what follows its last "answer is" or "####"; None without one.

    Of a reply that shows its reasoning only what follows the last `</think>` is read; a guess at whatever number comes
    last is not made: a reply that says what it lacks gives no answer.
    """
    _, closed, after = final.rpartition(THINK_CLOSE)
    if not closed and THINK_OPEN in final:
        return None
    if (boxed := last_boxed(after)) is not None:
        return boxed
    places = [found.end() for found in _STATES.finditer(after)]
    if not places:
        return None
    line = after[places[-1] :].partition("\n")[0]
    return _SENTENCE_END.split(line)[0].replace("**", "").strip(" $")


def grade_math(final: str, gold: str, *, by: MathGrader = "math-verify", timeout_s: float = TIMEOUT_S) -> Grade:
    """Grades a reply: equal as text or number, else by math-verify in a process that is killed after `timeout_s`."""
    if by == "official":
        return _grade_officially(final, gold, timeout_s)
    grade = _grade_by_value(final, gold, timeout_s)
    if by == "math-verify":
        return grade
    official = _grade_officially(final, gold, timeout_s)
    return replace(grade, detail={**grade.detail, "official": official.verdict})


def _grade_by_value(final: str, gold: str, timeout_s: float) -> Grade:
    answer = stated_answer(final)
    if not answer:
        return Grade("unparsed", 0.0, GRADER)
    if is_correct(answer, gold):
        return Grade("correct", 1.0, GRADER, answer)
    mine, right = number(answer), number(gold)
    # "50%" of a question that asks for per cent is 50 to math-verify and 1/2 to us: both readings are right.
    plain = mine is not None and right is not None and "%" not in answer
    # math-verify drops the base of a number: 4210_5 would be 4210.
    other_base = bool(_NUMBER_BASE.search(answer)) != bool(_NUMBER_BASE.search(gold))
    if plain or other_base or len(answer) > MAX_ANSWER_CHARS:
        return Grade("wrong", 0.0, GRADER, answer[:MAX_ANSWER_CHARS])
    return _compared(answer, gold, "value", GRADER, timeout_s)


def _grade_officially(final: str, gold: str, timeout_s: float) -> Grade:
    from evals.grading import official

    _, closed, after = final.rpartition(THINK_CLOSE)
    answer = official.extract_answer(after if closed else final)
    if not answer:
        return Grade("unparsed", 0.0, OFFICIAL)
    if len(answer) > MAX_ANSWER_CHARS:
        return Grade("wrong", 0.0, OFFICIAL, answer[:MAX_ANSWER_CHARS])
    return _compared(answer, gold, "official", OFFICIAL, timeout_s)


def _compared(answer: str, gold: str, by: str, grader: str, timeout_s: float) -> Grade:
    from evals.grading.pool import WorkerTimeout, shared_pool

    try:
        found = shared_pool().ask({"by": by, "answer": answer, "gold": gold}, timeout_s)
    except WorkerTimeout:
        return Grade("timeout", 0.0, grader, answer)
    if found["equal"]:
        return Grade("correct", 1.0, grader, answer)
    return Grade("wrong" if found["parsed"] else "unparsed", 0.0, grader, answer)
