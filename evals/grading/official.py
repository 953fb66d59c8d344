"""The published evaluation's grader of mathematics, re-implemented from its description, so that its scores can be matched.

It calls an answer right if it equals the gold after the MATH data set's string normalisation, or under sympy with the
rules below. What it gets wrong is kept on purpose: an unreduced fraction is wrong, a power other than of one digit is
not computed, and everything after `\\text{ ` is cut off, so that `70 \\text{ or } 71` equals 70. Source of the rules:
the released code of arXiv 2601.22139, after Lightman et al. (arXiv 2305.20050).
"""

from __future__ import annotations

import re

from evals.grading.math import last_braced

_UNITS = "degree|cm|centimeter|meter|mile|second|minute|hour|day|week|month|year|foot|feet|inch|yard|dollar|cent|kilometer|km"
_FRACTION = re.compile(r"\\frac\{([^{}]*)\}\{([^{}]*)\}")
_PLAIN_FRACTION = re.compile(r"-?\d+/\d+")
_INTEGER = re.compile(r"-?\d+")
_SAFE = re.compile(r"[0-9a-zA-Z+\-*/^(). ]*")
_POWERS = re.compile(r"\^[0-9]+\^|\^[0-9][0-9]+|\^\{|\^\(")
MAX_LETTERS = 2
"""An expression with more unknowns is taken for prose."""


def extract_answer(text: str) -> str | None:
    """What stands in the last `\\boxed{}`, else in the last `\\fbox{}`."""
    boxed = last_braced(text, "\\boxed")
    return boxed if boxed is not None else last_braced(text, "\\fbox")


def is_correct(answer: str, gold: str) -> bool:
    """As the official grader says. May not end on a hostile answer: to be called in a process that can be killed."""
    if _hendrycks(answer) == _hendrycks(gold):
        return True
    mine, right = _plain(answer), _plain(gold)
    if mine == right:
        return True
    if not mine:
        return False
    parts, right_parts = _split(mine), _split(right)
    if len(parts) > 1 and (mine[0] != right[0] or mine[-1] != right[-1]):
        return False
    return len(parts) == len(right_parts) and all(map(_same, parts, right_parts))


def _hendrycks(text: str) -> str:
    """The MATH data set's normalisation: marks and units gone, fractions and roots braced, no spaces."""
    for mark in ("\n", "\\!", "\\left", "\\right", "^{\\circ}", "^\\circ", "\\$", "\\%", "%"):
        text = text.replace(mark, "")
    text = text.replace("\\\\", "\\").replace("tfrac", "frac").replace("dfrac", "frac")
    text = text.split("\\text{ ")[0]
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if text.startswith("."):
        text = "0" + text
    before, equals, after = text.partition("=")
    if equals and "=" not in after and len(before) <= 2:
        text = after
    text = re.sub(r"\\sqrt([^{\s])", r"\\sqrt{\1}", text).replace(" ", "")
    text = re.sub(r"\\frac(\w)(\w)", r"\\frac{\1}{\2}", text)
    if text == "0.5":
        return "\\frac{1}{2}"
    return re.sub(r"^(-?\d+)/(\d+)$", r"\\frac{\1}{\2}", text)


def _plain(text: str) -> str:
    """LaTeX as a line of arithmetic, units and marks gone, in small letters."""
    text = re.sub(r"^\\text\{(.*)\}$", r"\1", text.strip())
    for mark, plain in (("\\%", "%"), ("\\$", "$"), ("$", ""), ("%", ""), (" or ", " , "), (" and ", " , ")):
        text = text.replace(mark, plain)
    text = text.replace("million", "*10^6").replace("billion", "*10^9").replace("trillion", "*10^12")
    text = re.sub(rf"\b(?:{_UNITS})(?:s|es)?\b(?: *\^[0-9]+)?", "", text)
    text = re.sub(r"\^ *(?:\\circ|\{\\circ\})", "", text)
    text = re.sub(r"\{,\}|(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"\\[td]frac", r"\\frac", text)
    while (changed := _FRACTION.sub(r" (\1)/(\2)", text)) != text:
        text = changed
    text = re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", text)
    for name, plain in (
        ("\\pi", "pi"),
        ("\\infty", "inf"),
        ("\\cdot", "*"),
        ("\\times", "*"),
        ("\\le", ""),
        ("\\ri", ""),
    ):
        text = text.replace(name, plain)
    text = re.sub(r"\((-?\d+)\)/\((\d+)\)", r"\1/\2", text)
    text = re.sub(r"(?<=\d) +(?=\d+/\d)", "+", text.strip())  # a mixed number
    text = text.replace(" ", "").replace("{", "").replace("}", "").lower()
    return str(int(float(text))) if re.fullmatch(r"-?\d+\.0+", text) else text


def _split(text: str) -> list[str]:
    if len(text) > 2 and text[0] in "([" and text[-1] in ")]":
        text = text[1:-1]
    return [part.strip() for part in text.split(",")]


def _same(answer: str, gold: str) -> bool:
    if answer == gold:
        return True
    if _PLAIN_FRACTION.fullmatch(answer) and _PLAIN_FRACTION.fullmatch(gold):
        return False  # unreduced
    if _INTEGER.fullmatch(answer) and _INTEGER.fullmatch(gold):
        return False
    return _equal_by_sympy(answer, gold)


def _equal_by_sympy(answer: str, gold: str) -> bool:
    """Whether the difference simplifies to nothing. Only arithmetic with a letter or two ever reaches sympy's `eval`."""
    import sympy
    from sympy.parsing import sympy_parser

    both = f"({gold})-({answer})"
    letters = {letter for letter in both.replace("sqrt", "").replace("pi", "") if letter.isalpha()}
    if len(letters) > MAX_LETTERS or not _SAFE.fullmatch(both) or _POWERS.search(both):
        return False
    rules = (*sympy_parser.standard_transformations, sympy_parser.implicit_multiplication_application)
    try:
        difference = sympy_parser.parse_expr(both.replace("^", "**"), evaluate=True, transformations=rules)
        return bool(sympy.simplify(difference) == 0)
    except Exception:  # sympy raises what it likes over text that is no expression
        return False
