"""Rules of the question screen: patterns over a question's folded views, the first rule that matches decides.

A rule's `unless` patterns take harmless phrases out of the text ("how many passwords") before its own are tried, so
that one harmless phrase does not excuse the rest of the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pir_serve.screen import ALLOW, Action, AskContext, Decision
from pir_serve.screening.folding import fold, views

MAX_CHARS = 4_000
"""No question of a person to a person is longer; blocked as `too_long`."""
_WINDOW = 1_000
_OVERLAP = 250
"""Characters; no pattern of the built-in rules spans more."""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    patterns: tuple[re.Pattern[str], ...]
    """Searched in folded text: lower case, without accents."""
    action: Action = "block"
    replacement: str = ""
    """The question that is asked instead, for `rewrite`."""
    response: str = ""
    """What the model is told, for `block`; "" for the screening's own response."""
    unless: tuple[re.Pattern[str], ...] = ()

    def matches(self, text: str) -> bool:
        """Of one folded view."""
        if not any(p.search(text) for p in self.patterns):
            return False
        for harmless in self.unless:
            text = harmless.sub(" ~ ", text)
        return any(p.search(text) for p in self.patterns)


class RuleScreen:
    """A `Screen` of rules in order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    async def check(self, question: str, context: AskContext) -> Decision:
        return self.decide(question)

    def decide(self, question: str) -> Decision:
        if len(question) > MAX_CHARS:
            return Decision("block", "too_long")
        seen = [view for window in _windows(fold(question)) for view in views(window)]
        for rule in self.rules:
            if any(rule.matches(view) for view in seen):
                return Decision(rule.action, rule.name, rule.replacement if rule.action == "rewrite" else rule.response)
        return ALLOW


def _windows(text: str) -> Iterator[str]:
    """Overlapping pieces: searching takes more than linear time, and a question may be as long as a model likes."""
    for start in range(0, max(1, len(text) - _OVERLAP), _WINDOW - _OVERLAP):
        yield text[start : start + _WINDOW]
