"""The question screen: sees each ask, whole, before the user does, and lets it through, has it put in other words, or
keeps it from them.

A screen is anything with an async `check`: the rules of `pir_serve.screening`, or a classifier of your own. `Screening`
asks them one after the other, counts and logs what they say, and answers for one that fails or takes too long.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pir_serve.trajectory import Trajectory

logger = logging.getLogger(__name__)

Action = Literal["allow", "rewrite", "block"]
BLOCK_RESPONSE = "The user cannot be asked about this. Go on without it."


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    rule: str = ""
    """Name of the rule that decided, for counts, the log and the trajectory; "" where none matched."""
    text: str = ""
    """rewrite: what the user is asked instead. block: what the model is told, "" for the screening's own response."""


ALLOW = Decision("allow")


@dataclass(frozen=True, slots=True)
class AskContext:
    """What a screen may want to know beside the question."""

    trajectory: Trajectory
    """Ends with the ask; its segments hold the conversation."""
    tenant: str = ""
    request_id: str = ""


class Screen(Protocol):
    async def check(self, question: str, context: AskContext) -> Decision:
        """What is to happen with `question`. May be called for several asks at once."""


class Screening:
    """Screens in order: the first that blocks ends it, and what one rewrites is what the next one sees."""

    def __init__(
        self,
        screens: Sequence[Screen],
        *,
        timeout_s: float = 2.0,
        on_failure: Literal["allow", "block"] = "block",
        response: str = BLOCK_RESPONSE,
        log_questions: bool = False,
    ) -> None:
        """`timeout_s`: for each screen; a person waits meanwhile."""
        self.screens = tuple(screens)
        self.counts: Counter[tuple[Action, str]] = Counter()
        """How often each (action, rule) was decided; `("allow", "")` where nothing matched. For metrics."""
        self._timeout_s = timeout_s
        self._on_failure = on_failure
        self._response = response
        self._log_questions = log_questions

    async def decide(self, question: str, context: AskContext) -> Decision:
        """Never raises but for cancellation. `text` is set for `rewrite` and `block`."""
        decision, shown = ALLOW, question
        for screen in self.screens:
            latest = await self._ask(screen, shown, context)
            if latest.action == "block":
                decision = latest if latest.text else Decision("block", latest.rule, self._response)
                break
            if latest.action == "rewrite":
                decision, shown = latest, latest.text
            elif decision is ALLOW:
                decision = latest
        self.counts[decision.action, decision.rule] += 1
        level = logging.DEBUG if decision.action == "allow" else logging.INFO
        logger.log(
            level, "%s: screen: %s%s%s", context.request_id, decision.action,
            f" by {decision.rule}" if decision.rule else "", f": {question!r}" if self._log_questions else "",
        )  # fmt: skip
        return decision

    async def _ask(self, screen: Screen, question: str, context: AskContext) -> Decision:
        try:
            async with asyncio.timeout(self._timeout_s):
                decision = await screen.check(question, context)
            if decision.action not in ("allow", "rewrite", "block"):
                raise ValueError(f"{decision.action!r} is no action")
            if decision.action == "rewrite" and not decision.text.strip():
                raise ValueError("it rewrites to nothing")
        except TimeoutError:
            logger.warning("%s: a question screen took over %g s", context.request_id, self._timeout_s)
            return Decision(self._on_failure, "timeout")
        except Exception:  # whatever a screen of the user raises
            logger.exception("%s: a question screen failed", context.request_id)
            return Decision(self._on_failure, "failure")
        return decision
