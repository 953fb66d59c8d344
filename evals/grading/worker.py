"""The process that compares two expressions: `python -m evals.grading.worker`, a JSON line in, a JSON line out.

Expressions come from a model; what they make sympy do is bounded by the memory limit here and by the kill in `pool.py`.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from typing import Any

MAX_MEMORY_BYTES = 2 << 30


def _same_value(answer: str, gold: str) -> dict[str, Any]:
    from math_verify import parse, verify

    # Boxed, so that all of it is read as one expression; with no timeout, since theirs needs a main thread and a signal.
    right, given = (parse(f"\\boxed{{{text}}}", parsing_timeout=None) for text in (gold, answer))
    return {"parsed": bool(given), "equal": bool(verify(right, given, timeout_seconds=None))}


def _same_officially(answer: str, gold: str) -> dict[str, Any]:
    from evals.grading.official import is_correct

    return {"parsed": True, "equal": is_correct(answer, gold)}


_COMPARISONS = {"value": _same_value, "official": _same_officially}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no result
    import math_verify  # noqa: F401  # imported before the first question is timed

    out.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        question = json.loads(line)
        try:
            found = _COMPARISONS[question["by"]](question["answer"], question["gold"])
        except Exception as error:  # whatever the libraries raise over what a model wrote
            found = {"parsed": False, "equal": False, "error": f"{type(error).__name__}: {error}"[:500]}
        out.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
