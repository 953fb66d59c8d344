"""The rules, by number. The hundreds group them: 1 the question, 2 streams, 3 answering, 4 what happens when, 5 when not
to ask, 6 text of users, 7 errors. A number is never given to another rule. `calls` has those of question tools,
`chains` those of the Responses API alone, `background` and `sockets` those of two ways to use it.
"""

from __future__ import annotations

from pir_serve.conformance.checks import (
    answers,
    background,
    calls,
    chains,
    errors,
    events,
    policies,
    questions,
    sockets,
    streams,
    texts,
)
from pir_serve.conformance.checks.check import Check

_MODULES = (questions, streams, answers, events, policies, texts, errors, calls, chains, background, sockets)
CHECKS: tuple[Check, ...] = tuple(
    sorted(
        (value for module in _MODULES for value in vars(module).values() if isinstance(value, Check)),
        key=lambda check: check.number,
    )
)
assert len({check.number for check in CHECKS}) == len(CHECKS), "two checks have one number"

__all__ = ["CHECKS", "Check"]
