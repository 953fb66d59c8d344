"""Legs: generate to an ask or to the end, answer where the policy says so, then go on.

`run` takes a trajectory that ends with a prompt or a response and yields what a client may see, as it comes, and last
the trajectory as it then stands. Storing a suspension and putting events on the wire is done by others.

Two things end a leg before the model does: what the user says unasked (`steering.Mailbox`) and, where it is on, the
uncertainty gate. Both cut at the end of a step, and what follows is appended like any response: ids only grow.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import overload

from pir_serve.engines.base import Engine, FinishReason
from pir_serve.errors import ContextLengthExceeded
from pir_serve.events import AnswerDelta, LegEvent, ReasoningDelta, StepScored
from pir_serve.leg import Leg
from pir_serve.params import RunParams
from pir_serve.prompt import PromptCodec
from pir_serve.screen import AskContext, Decision
from pir_serve.steering import Mailbox, Phase, Steered
from pir_serve.trajectory import Author, Status, Trajectory

__all__ = [
    "AnswerDelta",
    "Ended",
    "LoopEvent",
    "Mailbox",
    "ReasoningDelta",
    "RunParams",
    "RunUsage",
    "Steered",
    "StepScored",
    "run",
]

MAX_OPENED_TOKENS = 128
"""Of a question that the gate opened: a model that was never taught to close one would go on and on."""


@dataclass(frozen=True, slots=True)
class RunUsage:
    """Tokens of one run, summed over its legs. A leg taken up again after an engine died counts its prompt once."""

    prompt_tokens: int = 0
    cached_tokens: int | None = None
    """None while no engine has told."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the completion: up to and including `</think>`, asks included."""
    legs: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event: `trajectory.status` says how it stands; `trajectory.pending` is the question, if it awaits the
    user."""

    trajectory: Trajectory
    usage: RunUsage
    finish_reason: FinishReason = "stop"


LoopEvent = LegEvent | Ended


@overload
def run(
    trajectory: Trajectory, *, engine: Engine, codec: PromptCodec, params: RunParams
) -> AsyncGenerator[LoopEvent, None]: ...


@overload
def run(
    trajectory: Trajectory, *, engine: Engine, codec: PromptCodec, params: RunParams, mailbox: Mailbox | None
) -> AsyncGenerator[LoopEvent | Steered, None]: ...


def run(
    trajectory: Trajectory,
    *,
    engine: Engine,
    codec: PromptCodec,
    params: RunParams,
    mailbox: Mailbox | None = None,
) -> AsyncGenerator[LoopEvent | Steered, None]:
    """Generate from where `trajectory` ends; the last event is `Ended`. Closing the generator aborts the engine.

    What is put into `mailbox` while it runs enters the reasoning at the next line's end, at the latest before
    `</think>` or an ask, and `Steered` tells where. After an ask that was complete by then it goes in as the response,
    and the user is not asked.

    Raises:
        ContextLengthExceeded: not even one token fits behind what is there (only before the first event).
        EngineError: the engine failed, and going on from the ids received so far failed as well.
    """
    assert trajectory.status is Status.IN_PROGRESS
    return _Run(trajectory, engine, codec, params, mailbox).events()


class _Run:
    """The legs of one run, and what comes between them."""

    def __init__(
        self, trajectory: Trajectory, engine: Engine, codec: PromptCodec, params: RunParams, mailbox: Mailbox | None
    ) -> None:
        self.trajectory = trajectory
        self.engine = engine
        self.codec = codec
        self.params = params
        self.mailbox = mailbox
        self.usage = RunUsage()
        self.written = 0
        self.gate = params.gate
        self.before_opening: Trajectory | None = None
        """The trajectory without the ask that was opened for the model, while its question is written."""
        self.in_answer = False
        """Whether the think block was closed for the model."""
        self.mends_late_ask = params.mends_markup

    async def events(self) -> AsyncGenerator[LoopEvent | Steered, None]:
        try:
            self._check_room()
            while True:
                in_thought = self.before_opening is None and not self.in_answer
                while in_thought and (said := self._said()) is not None:
                    self.trajectory = self.trajectory.volunteer(said, self.codec.encode_response(said))
                    yield Steered(said, len(self.trajectory.segments) - 1)
                left, limit = self._budget()
                if left <= 0:
                    yield self._ended((self.before_opening or self.trajectory).end(Status.INCOMPLETE, limit), "length")
                    return
                leg = self._leg()
                async with aclosing(leg.events(self.engine, left)) as events:
                    async for leg_event in events:
                        yield leg_event
                self.usage = _add(self.usage, leg)
                self.written += len(leg.ids)
                self.trajectory = leg.close()
                if leg.in_ask and not self._is_opening_kept(leg):
                    continue
                if leg.interrupted in ("gate", "late_ask"):
                    self.before_opening = self.trajectory
                    self.trajectory = self.trajectory.append(self.codec.encode_ask_open())
                self.in_answer = self.in_answer or (leg.ask is None and bool(leg.closing))
                if leg.interrupted or (leg.ask is None and leg.closing):
                    continue
                if leg.ask is None:
                    yield self._ended(leg.conclude(self.trajectory, limit), leg.finish_reason)
                    return
                if self.trajectory.num_asks >= self.params.max_asks:
                    yield self._ended(self.trajectory.end(Status.INCOMPLETE, "max_asks"))
                    return
                opened_by = Author.TEMPLATE if leg.in_ask else Author.MODEL
                self.trajectory = self.trajectory.suspend(leg.ask.text, opened_by=opened_by)
                event = await self._settle()
                if event is not None:
                    yield event
                if isinstance(event, Ended):
                    return
        finally:
            if self.mailbox is not None:
                self.mailbox.close(Phase.ENDED)

    def _check_room(self) -> None:
        num_tokens, most = len(self.trajectory.token_ids), self.engine.max_model_len
        if num_tokens >= most:
            raise ContextLengthExceeded(
                f"the conversation is {num_tokens} tokens long; this model reads {most} in all, the reply included. "
                "Shorten the messages",
                param="messages",
            )

    def _said(self) -> str | None:
        return None if self.mailbox is None else self.mailbox.take()

    def _budget(self) -> tuple[int, str]:
        """Tokens that the next leg may write, and the name of what limits them."""
        room = self.engine.max_model_len - len(self.trajectory.token_ids)
        left, limit = room, "context_length"
        if self.params.max_tokens is not None and self.params.max_tokens - self.written <= room:
            left, limit = self.params.max_tokens - self.written, "max_tokens"
        return (left if self.before_opening is None else min(left, MAX_OPENED_TOKENS)), limit

    def _leg(self) -> Leg:
        trajectory, params = self.trajectory, self.params
        may_ask = params.policy.allows(trajectory.num_shown) and trajectory.num_asks < params.max_asks
        return Leg(
            trajectory,
            self.codec,
            params,
            self.usage.legs,
            mailbox=self.mailbox,
            gate=self.gate if may_ask else None,
            in_ask=self.before_opening is not None,
            in_answer=self.in_answer,
            mends_late_ask=self.mends_late_ask and not self.in_answer,
        )

    def _is_opening_kept(self, leg: Leg) -> bool:
        """Whether the model has written a question where it was let; else all is as it was, and it is let no more."""
        assert self.before_opening is not None
        before, self.before_opening = self.before_opening, None
        if leg.ask is not None and leg.ask.text:
            return True
        self.trajectory = replace(before, malformed=(*before.malformed, "gate_abandoned"))
        self.gate = None
        self.mends_late_ask = False
        return False

    async def _settle(self) -> Steered | Ended | None:
        """An ask is pending: the user gets it, or something is put in instead (None: by the template)."""
        ask = self.trajectory.pending
        assert ask is not None
        decision = await self._decision(ask.text)
        if (said := self._said()) is not None:
            self._respond(said, Author.USER, "volunteered")
            return Steered(said, len(self.trajectory.segments) - 1, in_place_of=ask)
        if decision.action == "block":
            self._respond(decision.text or self.params.auto_response, Author.TEMPLATE, decision.rule)
            return None
        if decision.action == "rewrite":
            self.trajectory = self.trajectory.reword(decision.text)
        return self._ended(self.trajectory)

    async def _decision(self, question: str) -> Decision:
        """Of the ask policy, else of the screen; `rule` is the exchange's reason."""
        params = self.params
        if not question:  # nothing that a user could answer
            return Decision("block", "empty", params.auto_response)
        if refusal := params.policy.refusal(self.trajectory.num_shown):
            return Decision("block", refusal, params.auto_response)
        if params.screen is None:
            return Decision("allow")
        context = AskContext(self.trajectory, params.tenant, params.request_id)
        decision = await params.screen.decide(question, context)
        return replace(decision, rule=f"screen:{decision.rule}")

    def _respond(self, said: str, by: Author, reason: str) -> None:
        segment = self.codec.encode_response(said, by)
        self.trajectory = self.trajectory.respond(said, segment, by=by, reason=reason)

    def _ended(self, trajectory: Trajectory, finish_reason: FinishReason = "stop") -> Ended:
        if self.mailbox is not None:
            waits = trajectory.status is Status.AWAITING_USER
            self.mailbox.close(Phase.AWAITING_USER if waits else Phase.ENDED)
        return Ended(trajectory, self.usage, finish_reason)


def _add(usage: RunUsage, leg: Leg) -> RunUsage:
    cached = usage.cached_tokens
    if leg.usage is not None and leg.usage.cached_tokens is not None:
        cached = (cached or 0) + min(leg.usage.cached_tokens, len(leg.prompt_ids))
    return RunUsage(
        prompt_tokens=usage.prompt_tokens + len(leg.prompt_ids),
        cached_tokens=cached,
        completion_tokens=usage.completion_tokens + len(leg.ids),
        reasoning_tokens=usage.reasoning_tokens + leg.reasoning_tokens,
        legs=usage.legs + 1,
    )
