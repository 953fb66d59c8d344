"""Legs: generate to an ask or to the end, answer where the policy says so, then go on.

`run` takes a trajectory that ends with a prompt or a response and yields what a client may see, as it comes, and last
the trajectory as it then stands. Storing a suspension and putting events on the wire is done by others.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from pir_serve.engines.base import Engine, FinishReason
from pir_serve.errors import ContextLengthExceeded
from pir_serve.leg import AnswerDelta, Leg, LegEvent, ReasoningDelta, RunParams, StepScored
from pir_serve.prompt import PromptCodec
from pir_serve.trajectory import Author, Status, Trajectory

__all__ = ["AnswerDelta", "Ended", "LoopEvent", "ReasoningDelta", "RunParams", "RunUsage", "StepScored", "run"]


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


async def run(
    trajectory: Trajectory, *, engine: Engine, codec: PromptCodec, params: RunParams
) -> AsyncGenerator[LoopEvent, None]:
    """Generate from where `trajectory` ends; the last event is `Ended`. Closing the generator aborts the engine.

    Raises:
        ContextLengthExceeded: not even one token fits behind what is there (only before the first event).
        EngineError: the engine failed, and going on from the ids received so far failed as well.
    """
    assert trajectory.status is Status.IN_PROGRESS
    room = engine.max_model_len - len(trajectory.token_ids)
    if room <= 0:
        raise ContextLengthExceeded(
            f"the conversation is {len(trajectory.token_ids)} tokens long; this model reads {engine.max_model_len} "
            "in all, the reply included. Shorten the messages",
            param="messages",
        )
    usage = RunUsage()
    written = 0
    while True:
        room = engine.max_model_len - len(trajectory.token_ids)
        left, limit = room, "context_length"
        if params.max_tokens is not None and params.max_tokens - written <= room:
            left, limit = params.max_tokens - written, "max_tokens"
        if left <= 0:
            yield Ended(trajectory.end(Status.INCOMPLETE, limit), usage, "length")
            return
        leg = Leg(trajectory, codec, params, index=usage.legs)
        async with aclosing(leg.events(engine, left)) as events:
            async for event in events:
                yield event
        usage = _add(usage, leg)
        written += len(leg.ids)
        trajectory = leg.close()
        if leg.ask is None:
            yield Ended(leg.conclude(trajectory, limit), usage, leg.finish_reason)
            return
        if trajectory.num_asks >= params.max_asks:
            yield Ended(trajectory.end(Status.INCOMPLETE, "max_asks"), usage, "stop")
            return
        shown = sum(exchange.by is Author.USER for exchange in trajectory.exchanges)
        trajectory = trajectory.suspend(leg.ask.text)
        if leg.ask.text and params.policy.allows(shown):  # an empty ask is nothing that a user could answer
            yield Ended(trajectory, usage, "stop")
            return
        response = codec.encode_response(params.auto_response, Author.TEMPLATE)
        trajectory = trajectory.respond(params.auto_response, response, by=Author.TEMPLATE)


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
