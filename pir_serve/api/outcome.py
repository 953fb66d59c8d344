"""What has become of a run, for all surfaces: a question put away and how it is shown, or a trajectory that has ended."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pir_serve.api.gateway import Gateway
from pir_serve.api.tool_calls import FunctionCall
from pir_serve.api.turn import Turn
from pir_serve.errors import StoreError
from pir_serve.loop import Ended, RunUsage, StepScored
from pir_serve.resume import SuspensionKeys
from pir_serve.store.base import Node, Suspension
from pir_serve.store.state import seal_suspension
from pir_serve.telemetry.tracing import Attributes
from pir_serve.trajectory import Author, Status, Trajectory

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Suspended:
    """A question on its way to the user."""

    question: str
    suspension: Suspension
    sealed: str | None
    """For the client to echo: a handle, or the whole suspension where only the client keeps it (None if that is too
    large)."""
    stored: bool
    """False when the store was out of order: the reply will be answered from the visible text."""
    call: FunctionCall | None
    """Of the client's question tool, with the suspension's id in its own; None: the question is the content."""

    @property
    def sid(self) -> str:
        return self.suspension.sid

    def describe(self) -> dict[str, Any]:
        out: dict[str, Any] = {"session": self.sid, "question": self.question}
        out["expires_at"] = int(self.suspension.expires)
        return out if self.stored else {**out, "stored": False}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run has ended."""

    trajectory: Trajectory
    usage: RunUsage
    is_cut: bool
    """By a limit of tokens."""
    suspended: Suspended | None
    ended: Node | None
    """For the store, once the reply has left; None of a question, and where nothing is to be kept."""
    pir: dict[str, Any]
    """The `pir` object of the reply."""
    num_auto_answers: int
    """Of this run."""


async def conclude(
    gateway: Gateway, turn: Turn, ended: Ended, steps: Sequence[StepScored] | None, began: float
) -> Outcome:
    """What the reply ends with. A question is durable when this returns, unless the client is to keep it.

    `steps` is None unless the request wanted them. `began` is of `time.perf_counter`, for the log.
    """
    trajectory = ended.trajectory
    suspended, node = None, None
    if trajectory.status is Status.AWAITING_USER:
        suspended = await _suspend(gateway, turn, trajectory)
    elif gateway.settings.keep_s and turn.request.is_kept:
        node = _node(gateway, turn, trajectory, SuspensionKeys("", "", (), ""), gateway.settings.keep_s)
    _count(gateway, turn, trajectory)
    if turn.visit.span is not None:
        turn.visit.span.tell(_traced(ended, suspended))
    logger.info(
        "%s %s %s: %s%s, %d asks, %d legs, %d+%d tokens, %.3f s",
        turn.params.request_id, turn.served.name, turn.how, trajectory.status.value,
        f" ({trajectory.detail})" if trajectory.detail else "",
        trajectory.num_asks, ended.usage.legs, ended.usage.prompt_tokens, ended.usage.completion_tokens,
        time.perf_counter() - began,
    )  # fmt: skip
    in_this_run = trajectory.exchanges[len(turn.trajectory.exchanges) :]
    return Outcome(
        trajectory,
        ended.usage,
        is_cut=ended.finish_reason == "length",
        suspended=suspended,
        ended=node,
        pir=_pir_object(turn, trajectory, steps, suspended, node),
        num_auto_answers=sum(exchange.by is Author.TEMPLATE for exchange in in_this_run),
    )


def _traced(ended: Ended, suspended: Suspended | None) -> Attributes:
    return {
        "gen_ai.usage.input_tokens": ended.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": ended.usage.completion_tokens,
        "gen_ai.response.finish_reasons": [ended.finish_reason],
        "pir.status": ended.trajectory.status.value,
        "pir.num_asks": ended.trajectory.num_asks,
        **({"pir.suspension": suspended.sid} if suspended else {}),
    }


def _count(gateway: Gateway, turn: Turn, trajectory: Trajectory) -> None:
    metrics, model = gateway.metrics, turn.served.name
    metrics.runs.labels(model, trajectory.status.value).inc()
    if trajectory.status is Status.AWAITING_USER:
        metrics.asks.labels(model, "shown").inc()
    for exchange in trajectory.exchanges[len(turn.trajectory.exchanges) :]:
        metrics.asks.labels(model, exchange.reason).inc()


def keep(gateway: Gateway, turn: Turn, outcome: Outcome | None) -> None:
    """Put a trajectory that has ended into the store, if that is wanted; for after the reply."""
    if outcome is not None and outcome.ended is not None:
        gateway.later(_keep(gateway, turn, outcome.ended))


async def _keep(gateway: Gateway, turn: Turn, node: Node) -> None:
    try:
        await gateway.store.put(node, most=turn.visit.caller.limits.max_stored)
    except StoreError as error:
        logger.warning("%s: the finished trajectory could not be stored: %s", turn.params.request_id, error)


async def _suspend(gateway: Gateway, turn: Turn, trajectory: Trajectory) -> Suspended:
    """A store that is out of order does not lose the reply."""
    assert trajectory.pending is not None
    question = trajectory.pending.text
    keys = gateway.keys.for_suspension(turn.request.conversation.pairs, question)
    suspension = _node(gateway, turn, trajectory, keys, gateway.settings.ttl_s)
    stored = True
    if turn.request.is_kept:
        sealed: str | None = gateway.sealer.seal(
            suspension.sid,
            tenant=suspension.tenant,
            digest=suspension.digest,
            transcript_key=suspension.transcript_key,
            expires=suspension.expires,
        )
        try:
            await gateway.store.put(suspension, most=turn.visit.caller.limits.max_stored)
        except StoreError as error:
            logger.error("%s: the question could not be stored: %s", turn.params.request_id, error)
            stored = False
    else:
        sealed = seal_suspension(gateway.sealer, suspension)
        if sealed is None:
            logger.warning("%s: the suspension is too large for the client to keep", turn.params.request_id)
    return Suspended(question, suspension, sealed, stored, _ask_call(turn, suspension.sid, question))


def _ask_call(turn: Turn, sid: str, question: str) -> FunctionCall | None:
    if turn.ask_tool is None:
        return None
    arguments = turn.ask_tool.arguments(question)
    return None if arguments is None else FunctionCall(f"call_{sid}", turn.ask_tool.name, arguments)


def _node(gateway: Gateway, turn: Turn, trajectory: Trajectory, keys: SuspensionKeys, ttl_s: float) -> Node:
    now = time.time()
    return Node(
        sid=f"pir_{secrets.token_urlsafe(18)}",
        tenant=turn.params.tenant,
        scope=turn.scope,
        model=turn.served.name,
        digest=turn.served.digest,
        trajectory=trajectory,
        request=turn.options,
        transcript_key=keys.transcript_key,
        question_key=keys.question_key,
        message_keys=keys.message_keys,
        system_key=keys.system_key,
        parent=turn.parent,
        created=now,
        expires=now + ttl_s,
        trace=turn.visit.span.traceparent if turn.visit.span else "",
    )


def _pir_object(
    turn: Turn,
    trajectory: Trajectory,
    steps: Sequence[StepScored] | None,
    suspended: Suspended | None,
    ended: Node | None,
) -> dict[str, Any]:
    out: dict[str, Any] = {"status": trajectory.status.value, **(suspended.describe() if suspended else {})}
    if suspended and suspended.stored and turn.request.is_kept:
        out["node"] = suspended.sid
    elif ended:
        out["node"] = ended.sid
    out["num_asks"] = trajectory.num_asks
    out["auto_answers"] = [
        {"question": e.ask.text, "response": e.response, "reason": e.reason}
        for e in trajectory.exchanges
        if e.by is Author.TEMPLATE
    ]
    if trajectory.volunteered:
        out["volunteered"] = [said.text for said in trajectory.volunteered]
    if trajectory.detail:
        out["detail"] = trajectory.detail
    if trajectory.malformed:
        out["malformed"] = list(trajectory.malformed)
    if turn.ignored_tools:
        out["ignored_tools"] = list(turn.ignored_tools)
    if steps is not None:
        out["uncertainty"] = [
            {
                "leg": s.leg,
                "text": s.step.text,
                "start": s.step.start,
                "end": s.step.end,
                "entropy": s.step.entropy,
                "num_tokens": s.step.num_tokens,
                "peak": s.step.peak,
            }
            for s in steps
        ]
    return out
