"""One response while it is made: a run's events in, the events and at last the object of the Responses API out."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pir_serve.api.gateway import Gateway
from pir_serve.api.outcome import Outcome, conclude, keep
from pir_serve.api.responses.body import ResponsesRequest
from pir_serve.api.responses.items import Item, kept, new_id, user_message
from pir_serve.api.responses.link import Past, visible
from pir_serve.api.responses.objects import error_object, response_object, usage_object
from pir_serve.api.responses.writer import Event, EventWriter
from pir_serve.api.tool_calls import FunctionCall
from pir_serve.api.turn import Turn, TurnEvent
from pir_serve.errors import PirError, StoreError
from pir_serve.loop import AnswerDelta, Ended, ReasoningDelta, Steered, StepScored
from pir_serve.store.responses import ResponseRecord, ResponseStatus
from pir_serve.trajectory import Status

logger = logging.getLogger(__name__)


class Generation:
    """Of one run. What the user says while it reasons ends one response and begins the next, so that it may make
    several; `id` and `body` are those of the newest."""

    def __init__(self, gateway: Gateway, turn: Turn, request: ResponsesRequest, conversation: tuple[Item, ...]) -> None:
        """`conversation` is all that is visible, the request's own input last."""
        self.gateway = gateway
        self.turn = turn
        self.request = request
        self.outcome: Outcome | None = None
        self.ended: list[tuple[str, Past]] = []
        """Responses that have ended, in order, with their ids."""
        self.is_logged = bool(request.body.background)
        """Whether each event goes into the store's log: then the record's last put is the caller's."""
        self._input = request.items
        self._conversation = conversation
        self._began = time.perf_counter()
        self._steps: list[StepScored] | None = [] if turn.params.uncertainty else None
        self._begin(request.body.previous_response_id)

    def _begin(self, previous: str | None) -> None:
        self.id = new_id("resp")
        self.created = int(time.time())
        self.body = response_object(
            self.turn, self.request, response_id=self.id, created=self.created, previous=previous
        )
        self.status = ResponseStatus.IN_PROGRESS
        self._writer = EventWriter(shows_reasoning=self.gateway.settings.show_reasoning == "full")

    def opening(self) -> list[Event]:
        """The events that come before anything is generated."""
        events = []
        if self.is_logged:
            queued = {**self.body, "status": ResponseStatus.QUEUED.value}
            events = [self._event("response.created", queued), self._event("response.queued", queued)]
        else:
            events = [self._event("response.created", self.body)]
        return [*events, self._event("response.in_progress", self.body)]

    async def take(self, events: Sequence[TurnEvent | Steered]) -> list[Event]:
        """One burst; neighbouring deltas of one kind become one event. After `Ended` all is stored."""
        out: list[Event] = []
        at = 0
        while at < len(events):
            event = events[at]
            end = at + 1
            if isinstance(event, ReasoningDelta | AnswerDelta):
                while end < len(events) and type(events[end]) is type(event):
                    end += 1
                text = "".join(e.text for e in events[at:end] if isinstance(e, ReasoningDelta | AnswerDelta))
                is_reasoning = isinstance(event, ReasoningDelta)
                out += self._writer.reasoning(text) if is_reasoning else self._writer.answer(text)
            elif isinstance(event, StepScored):
                if self._steps is not None:
                    self._steps.append(event)
            elif isinstance(event, FunctionCall):
                out += self._writer.call(event)
            elif isinstance(event, Steered):
                out += await self._steered(event.text)
            else:
                out += await self._ended(event)
            at = end
        return out

    async def fail(self, error: PirError | None) -> list[Event]:
        """Something failed after the first event; None: a mistake of ours."""
        events = self._writer.close("incomplete")
        self.body["error"] = error_object(error)
        return [*events, await self._final(ResponseStatus.FAILED, reason=self.body["error"]["message"])]

    def cancel(self) -> None:
        """No event tells of it: the SDKs know none."""
        self._writer.close("incomplete")
        self._conclude_body(ResponseStatus.CANCELLED)

    def keep(self) -> None:
        """What has ended, now that the reply has left."""
        keep(self.gateway, self.turn, self.outcome)

    @property
    def past(self) -> Past:
        """For responses of the same connection, once it has ended."""
        suspended = self.outcome.suspended if self.outcome else None
        conversation = (*self._conversation, *kept(self._writer.output))
        return Past(
            conversation,
            suspended.sid if suspended and self.request.is_stored else None,
            suspended.sealed if suspended and not self.request.is_stored else None,
        )

    def record(self, reason: str | None = None) -> ResponseRecord:
        past = self.past
        return ResponseRecord(
            id=self.id,
            tenant=self.turn.params.tenant,
            status=self.status,
            body=self.body,
            input=self._input,
            conversation=past.conversation,
            sid=past.sid,
            created=float(self.created),
            expires=self.created + max(self.gateway.settings.keep_s, self.gateway.settings.ttl_s),
            reason=reason,
        )

    def next_number(self) -> int:
        """A number in the stream for an event that somebody else sends."""
        self._writer.sequence += 1
        return self._writer.sequence - 1

    async def _steered(self, said: str) -> list[Event]:
        """The reasoning goes on, with what the user has said in it, as another response."""
        events = self._writer.close("incomplete")
        self.body["incomplete_details"] = {"reason": "steered"}
        events.append(await self._final(ResponseStatus.INCOMPLETE, reason="steered"))
        message = user_message(said)
        self._input = (message,)
        self._conversation = (*self._conversation, message)
        conversation = visible(self.request, self._conversation)
        self.turn = replace(self.turn, request=replace(self.turn.request, conversation=conversation))
        self._begin(previous=self.id)
        return [*events, *self.opening()]

    async def _ended(self, ended: Ended) -> list[Event]:
        outcome = await conclude(self.gateway, self.turn, ended, self._steps, self._began)
        self.outcome = outcome
        trajectory, suspended = outcome.trajectory, outcome.suspended
        status, reason = ResponseStatus.COMPLETED, None
        if suspended:
            events = self._writer.question(suspended.question, suspended.call, suspended.sealed)
        else:
            is_whole = trajectory.status is Status.COMPLETED
            events = self._writer.close("completed" if is_whole else "incomplete")
        if trajectory.status is Status.INCOMPLETE:
            status, reason = ResponseStatus.INCOMPLETE, trajectory.detail
            cause = "max_messages" if trajectory.detail == "max_asks" else "max_output_tokens"
            self.body["incomplete_details"] = {"reason": cause}
        elif trajectory.status is Status.FAILED:
            status, reason = ResponseStatus.FAILED, trajectory.detail
            message = f"the model stopped without an answer ({trajectory.detail})"
            self.body["error"] = error_object(None, message)
        self.body["usage"] = usage_object(outcome.usage, outcome.num_auto_answers)
        self.body["pir"] = {**outcome.pir, "resume": self.turn.how}
        self.body["metadata"]["pir_status"] = trajectory.status.value
        if suspended:
            self.body["metadata"]["pir_session"] = suspended.sid
        return [*events, await self._final(status, reason=reason)]

    async def _final(self, status: ResponseStatus, *, reason: str | None) -> Event:
        self._conclude_body(status)
        if self.request.is_stored and not self.is_logged:
            try:
                await self.gateway.store.responses.put(self.record(reason))
            except StoreError as error:
                logger.error("%s: the response could not be stored: %s", self.turn.params.request_id, error)
                self.body["store"] = False
        self.ended.append((self.id, self.past))
        return self._event(f"response.{status.value}", self.body)

    def _conclude_body(self, status: ResponseStatus) -> None:
        self.status = status
        self.body["status"] = status.value
        self.body["output"] = self._writer.output
        if status is ResponseStatus.COMPLETED:
            self.body["completed_at"] = int(time.time())

    def _event(self, kind: str, body: dict[str, Any]) -> Event:
        return self._writer.event(kind, response=body)
