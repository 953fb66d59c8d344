"""Programs: the code in a reply, run against the row's tests in a sandbox."""

from __future__ import annotations

import re

from evals.grading.result import Grade
from evals.grading.sandbox import TIMEOUT_S, Level, SandboxError, run_tests
from evals.grading.text import visible

GRADER = "code/1"
MAX_CODE_CHARS = 100_000

_FENCED = re.compile(
    r"^[ \t]*```[ \t]*(?:python3?|py)?[ \t]*\n(?P<code>.*?)^[ \t]*```", re.MULTILINE | re.DOTALL | re.IGNORECASE
)


def solution_of(final: str, entry_point: str) -> str | None:
    """The code of a reply: its last fenced block that defines `entry_point`, else its last, else all of it if it is code."""
    text = visible(final)
    blocks = [found["code"] for found in _FENCED.finditer(text)]
    name = re.escape(entry_point)
    defines = re.compile(rf"^\s*(?:async\s+)?(?:def|class)\s+{name}\b|^{name}\s*=", re.MULTILINE)
    for code in reversed(blocks):
        if defines.search(code):
            return code
    if blocks:
        return blocks[-1]
    return text if defines.search(text) else None


def grade_code(
    final: str,
    tests: str,
    entry_point: str,
    *,
    setup: str = "",
    timeout_s: float = TIMEOUT_S,
    level: Level | None = None,
) -> Grade:
    """Grades a program by its tests. The detail names the sandbox's level; a sandbox that fails leaves it `unjudged`."""
    code = solution_of(final, entry_point)
    if code is None or len(code) > MAX_CODE_CHARS:
        return Grade("unparsed", 0.0, GRADER)
    try:
        found = run_tests(code, tests, entry_point, setup=setup, timeout_s=timeout_s, level=level)
    except SandboxError as error:
        return Grade("unjudged", None, GRADER, code, {"error": str(error)})
    detail = {"sandbox": found.level, **({"reason": found.reason} if found.reason else {})}
    if found.passed:
        return Grade("correct", 1.0, GRADER, code, detail)
    return Grade("timeout" if found.timed_out else "wrong", 0.0, GRADER, code, detail)
