"""POST /v1/chat/completions: a pause is a normal reply whose content is the question, or a call of the client's question
tool; all else rides in `pir`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pir_serve.api import reply
from pir_serve.api.chat_request import ChatRequest, parse
from pir_serve.api.exchange import json_reply, read_body, visit_of
from pir_serve.api.gateway import Gateway
from pir_serve.api.outcome import Outcome, conclude, keep
from pir_serve.api.pump import ClientGone, Pump
from pir_serve.api.sse import DONE, KEEPALIVE, STOPPING, end_stream, start_stream, write
from pir_serve.api.tool_calls import FunctionCall
from pir_serve.api.turn import Turn, TurnEvent, prepare
from pir_serve.errors import PirError
from pir_serve.loop import AnswerDelta, Ended, ReasoningDelta, RunUsage, StepScored
from pir_serve.params import leg_seed

logger = logging.getLogger(__name__)


async def chat_completions(request: Request) -> ASGIApp:
    gateway: Gateway = request.app.state.gateway
    raw = await read_body(request, gateway.settings.max_body_bytes)
    chat = parse(raw)
    visit = visit_of(request)
    turn = await prepare(gateway, chat.turn, visit=visit, headers=request.headers, num_replies=chat.n)
    return _StreamedReply(gateway, chat, turn) if chat.stream else _WholeReply(gateway, chat, turn)


class _Choice:
    """One of the `n` runs of a request."""

    def __init__(self, turn: Turn, index: int) -> None:
        self.turn = turn if index == 0 else _reseeded(turn, index)
        self.steps: list[StepScored] | None = [] if turn.params.uncertainty else None
        self.reasoning: list[str] = []
        self.answer: list[str] = []
        self.calls: list[FunctionCall] = []
        self.outcome: Outcome | None = None


class _Reply:
    """A reply that is generated while it is sent: an ASGI application that also watches its connection."""

    def __init__(self, gateway: Gateway, chat: ChatRequest, turn: Turn) -> None:
        self.gateway = gateway
        self.chat = chat
        self.turn = turn
        self.reply_id = f"chatcmpl-{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.began = time.perf_counter()
        self.choices = [_Choice(turn, k) for k in range(chat.n)]
        self.num_running = chat.n

    def pump(self, receive: Receive) -> Pump[TurnEvent]:
        return Pump([choice.turn.events() for choice in self.choices], receive)

    def headers_out(self) -> dict[str, str]:
        return {"x-request-id": self.turn.params.request_id, "x-pir-resume": self.turn.how}

    async def conclude(self, choice: _Choice, ended: Ended) -> Outcome:
        """A question is stored by now."""
        choice.outcome = await conclude(self.gateway, choice.turn, ended, choice.steps, self.began)
        self.num_running -= 1
        return choice.outcome

    def usage(self) -> dict[str, Any]:
        outcomes = [choice.outcome for choice in self.choices if choice.outcome is not None]
        total = _summed([outcome.usage for outcome in outcomes])
        return reply.usage_object(total, sum(outcome.num_auto_answers for outcome in outcomes))

    def keep(self) -> None:
        """What has ended, now that the reply has left."""
        for choice in self.choices:
            keep(self.gateway, choice.turn, choice.outcome)


class _WholeReply(_Reply):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self.pump(receive) as pump:
                response = await self._collect(pump)
        except ClientGone:
            logger.info("%s: the client has gone", self.turn.params.request_id)
            return
        except asyncio.CancelledError:
            response = json_reply(STOPPING.body(), status=STOPPING.status, headers=self.headers_out())
        await response(scope, receive, send)
        self.keep()

    async def _collect(self, pump: Pump[TurnEvent]) -> HttpResponse:
        while (burst := await pump.take()) is not None:
            choice = self.choices[burst[0]]
            for event in burst[1]:
                if isinstance(event, ReasoningDelta):
                    choice.reasoning.append(event.text)
                elif isinstance(event, AnswerDelta):
                    choice.answer.append(event.text)
                elif isinstance(event, StepScored):
                    assert choice.steps is not None
                    choice.steps.append(event)
                elif isinstance(event, FunctionCall):
                    choice.calls.append(event)
                else:
                    await self.conclude(choice, event)
        settings = self.gateway.settings
        said, headers = [], self.headers_out() | {"x-pir-status": "final"}
        for choice in self.choices:
            outcome = choice.outcome
            assert outcome is not None, "a run ends with Ended or an exception"
            shown: dict[str, str] = {}
            if settings.show_reasoning == "full":
                shown[settings.reasoning_field] = "".join(choice.reasoning)
            message = reply.message(outcome, "".join(choice.answer), choice.calls, shown)
            said.append((message, reply.finish_reason(outcome, choice.calls)))
            if outcome.suspended:
                headers |= {"x-pir-status": "awaiting_user", "x-pir-session": outcome.suspended.sid}
        body = reply.completion(self.reply_id, self.created, self.turn.model, choices=said, usage=self.usage())
        return json_reply(body, headers=headers)


class _StreamedReply(_Reply):
    def __init__(self, gateway: Gateway, chat: ChatRequest, turn: Turn) -> None:
        super().__init__(gateway, chat, turn)
        self.show_reasoning = gateway.settings.show_reasoning == "full"
        self.writers = [
            reply.ChunkWriter(
                self.reply_id,
                self.created,
                turn.model,
                reasoning_field=gateway.settings.reasoning_field,
                include_usage=chat.include_usage,
                index=k,
            )
            for k in range(chat.n)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """In a task of its own: else every token would wake all the coroutines of the layers around us."""
        await asyncio.create_task(self._stream(scope, receive, send))

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        keepalive_s = self.gateway.settings.keepalive_s
        try:
            async with self.pump(receive) as pump:
                # Until something has come, an error can still be a proper HTTP status.
                burst = await pump.take(keepalive_s)
                send = await start_stream(scope, send, self.headers_out())
                unsent = b"".join(writer.role() for writer in self.writers)
                try:
                    while burst is not None:
                        unsent += await self._chunks(*burst) if burst[1] else KEEPALIVE
                        if not self.num_running:
                            break
                        if unsent:
                            await write(send, unsent)
                            unsent = b""
                        burst = await pump.take(keepalive_s)
                except ClientGone:
                    raise
                except asyncio.CancelledError:  # the server stops and has waited long enough; it logs what we raise
                    unsent += self._failed(STOPPING)
                except Exception as error:  # the edge of a request
                    unsent += self._failed(error)
                await end_stream(send, unsent)
        except ClientGone:
            logger.info("%s: the client has gone", self.turn.params.request_id)
            return
        except asyncio.CancelledError:  # as above, before anything has come
            response = json_reply(STOPPING.body(), status=STOPPING.status, headers=self.headers_out())
            await response(scope, receive, send)
            return
        self.keep()

    async def _chunks(self, index: int, events: list[TurnEvent]) -> bytes:
        """One burst as server-sent events; neighbouring deltas of one kind become one chunk."""
        out: list[bytes] = []
        writer, choice = self.writers[index], self.choices[index]
        at = 0
        while at < len(events):
            event = events[at]
            at += 1
            if isinstance(event, ReasoningDelta | AnswerDelta):
                text = event.text
                while at < len(events) and type(more := events[at]) is type(event):
                    text += more.text
                    at += 1
                if isinstance(event, AnswerDelta):
                    out.append(writer.content(text))
                elif self.show_reasoning:
                    out.append(writer.reasoning(text))
            elif isinstance(event, StepScored):
                assert choice.steps is not None
                choice.steps.append(event)
            elif isinstance(event, FunctionCall):
                out.append(writer.call(len(choice.calls), event))
                choice.calls.append(event)
            else:
                out += await self._last_chunks(index, event)
        return b"".join(out)

    async def _last_chunks(self, index: int, ended: Ended) -> list[bytes]:
        writer = self.writers[index]
        choice = self.choices[index]
        outcome = await self.conclude(choice, ended)
        out = [writer.question(outcome.suspended)] if outcome.suspended else []
        out += [writer.delta(reply.extra_fields(outcome)), writer.finish(reply.finish_reason(outcome, choice.calls))]
        if not self.num_running:
            if self.chat.include_usage:
                out.append(writer.usage(self.usage()))
            out.append(DONE)
        return out

    def _failed(self, error: Exception) -> bytes:
        if isinstance(error, PirError):
            logger.error("%s: failed while streaming: %s", self.turn.params.request_id, error)
            return self.writers[0].error(error.body())
        logger.error("%s: internal error while streaming", self.turn.params.request_id, exc_info=error)
        body = {"message": "internal error", "type": "server_error", "param": None, "code": "internal_error"}
        return self.writers[0].error({"error": body})


def _reseeded(turn: Turn, index: int) -> Turn:
    """The same for another choice, which must not draw the same random numbers."""
    sampling = turn.params.sampling
    seed = None if sampling.seed is None else leg_seed(sampling.seed, 1_000_000 + index)
    return replace(turn, params=replace(turn.params, sampling=replace(sampling, seed=seed)))


def _summed(usages: list[RunUsage]) -> RunUsage:
    if len(usages) == 1:
        return usages[0]
    cached = [u.cached_tokens for u in usages if u.cached_tokens is not None]
    return RunUsage(
        prompt_tokens=sum(u.prompt_tokens for u in usages),
        cached_tokens=sum(cached) if cached else None,
        completion_tokens=sum(u.completion_tokens for u in usages),
        reasoning_tokens=sum(u.reasoning_tokens for u in usages),
        legs=sum(u.legs for u in usages),
    )
