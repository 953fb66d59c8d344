"""POST /v1/chat/completions: a pause is a normal reply whose content is the question; all else rides in `pir`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pir_serve.api import reply
from pir_serve.api.gateway import Gateway, json_reply, read_body, request_id
from pir_serve.api.pump import ClientGone, Pump
from pir_serve.api.request import parse
from pir_serve.api.turn import Suspended, Turn, prepare, suspend
from pir_serve.errors import EngineUnavailable, PirError
from pir_serve.loop import AnswerDelta, Ended, LoopEvent, ReasoningDelta, StepScored, run
from pir_serve.trajectory import Status

logger = logging.getLogger(__name__)

STOPPING = EngineUnavailable("the gateway is stopping; try again")


async def chat_completions(request: Request) -> ASGIApp:
    gateway: Gateway = request.app.state.gateway
    tenant = gateway.auth.tenant(request.headers)
    raw = await read_body(request, gateway.settings.max_body_bytes)
    chat = parse(raw)
    turn = await prepare(gateway, chat, tenant=tenant, request_id=request_id(request), headers=request.headers)
    return _StreamedReply(gateway, turn) if chat.stream else _WholeReply(gateway, turn)


class _Reply:
    """A reply that is generated while it is sent: an ASGI application that also watches its connection."""

    def __init__(self, gateway: Gateway, turn: Turn) -> None:
        self.gateway = gateway
        self.turn = turn
        self.reply_id = f"chatcmpl-{secrets.token_hex(12)}"
        self.created = int(time.time())
        self.began = time.perf_counter()
        self.steps: list[StepScored] | None = [] if turn.params.uncertainty else None

    def events(self) -> AsyncGenerator[LoopEvent, None]:
        turn = self.turn
        return run(turn.trajectory, engine=turn.served.engine, codec=turn.served.codec, params=turn.params)

    def headers_out(self) -> dict[str, str]:
        return {"x-request-id": self.turn.params.request_id, "x-pir-resume": self.turn.how}

    async def conclude(self, ended: Ended) -> tuple[dict[str, Any], Suspended | None]:
        """The extra fields of the last message, and the suspension, which is stored by now."""
        suspended = None
        if ended.trajectory.status is Status.AWAITING_USER:
            suspended = await suspend(self.gateway, self.turn, ended.trajectory)
        extra = suspended.describe() if suspended else {}
        fields: dict[str, Any] = {"pir": reply.pir_object(ended.trajectory, self.steps, extra)}
        if suspended:
            fields = {"reasoning_details": reply.reasoning_details(suspended.sid, suspended.handle), **fields}
        logger.info(
            "%s %s %s: %s%s, %d asks, %d legs, %d+%d tokens, %.3f s",
            self.turn.params.request_id, self.turn.served.name, self.turn.how, ended.trajectory.status.value,
            f" ({ended.trajectory.detail})" if ended.trajectory.detail else "",
            ended.trajectory.num_asks, ended.usage.legs, ended.usage.prompt_tokens, ended.usage.completion_tokens,
            time.perf_counter() - self.began,
        )  # fmt: skip
        return fields, suspended


class _WholeReply(_Reply):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with Pump(self.events(), receive) as pump:
                response = await self._collect(pump)
        except ClientGone:
            logger.info("%s: the client has gone", self.turn.params.request_id)
            return
        except asyncio.CancelledError:
            response = json_reply(STOPPING.body(), status=STOPPING.status, headers=self.headers_out())
        await response(scope, receive, send)

    async def _collect(self, pump: Pump[LoopEvent]) -> HttpResponse:
        reasoning: list[str] = []
        answer: list[str] = []
        ended: Ended | None = None
        while (events := await pump.take()) is not None:
            for event in events:
                if isinstance(event, ReasoningDelta):
                    reasoning.append(event.text)
                elif isinstance(event, AnswerDelta):
                    answer.append(event.text)
                elif isinstance(event, StepScored):
                    assert self.steps is not None
                    self.steps.append(event)
                else:
                    ended = event
        assert ended is not None, "a run ends with Ended or an exception"
        fields, suspended = await self.conclude(ended)
        settings = self.gateway.settings
        message: dict[str, Any] = {
            "role": "assistant",
            "content": suspended.question if suspended else "".join(answer),
            "refusal": None,
        }
        if settings.show_reasoning == "full":
            message[settings.reasoning_field] = "".join(reasoning)
        headers = self.headers_out() | {"x-pir-status": "awaiting_user" if suspended else "final"}
        if suspended:
            headers["x-pir-session"] = suspended.sid
        body = reply.completion(
            self.reply_id,
            self.created,
            self.turn.model,
            message=message | fields,
            finish_reason="length" if ended.finish_reason == "length" else "stop",
            usage=ended.usage,
        )
        return json_reply(body, headers=headers)


class _StreamedReply(_Reply):
    def __init__(self, gateway: Gateway, turn: Turn) -> None:
        super().__init__(gateway, turn)
        self.writer = reply.ChunkWriter(
            self.reply_id,
            self.created,
            turn.model,
            reasoning_field=gateway.settings.reasoning_field,
            include_usage=turn.include_usage,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keepalive_s = self.gateway.settings.keepalive_s
        try:
            async with Pump(self.events(), receive) as pump:
                # Until something has come, an error can still be a proper HTTP status.
                events = await pump.take(keepalive_s)
                await self._start(send)
                try:
                    while events is not None:
                        await _write(send, await self._chunks(events) if events else reply.KEEPALIVE)
                        events = await pump.take(keepalive_s)
                except ClientGone:
                    raise
                except asyncio.CancelledError:  # the server stops and has waited long enough; it logs what we raise
                    await _write(send, self._failed(STOPPING))
                except Exception as error:  # the edge of a request
                    await _write(send, self._failed(error))
        except ClientGone:
            logger.info("%s: the client has gone", self.turn.params.request_id)
            return
        except asyncio.CancelledError:  # as above, before anything has come
            response = json_reply(STOPPING.body(), status=STOPPING.status, headers=self.headers_out())
            await response(scope, receive, send)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, send: Send) -> None:
        headers = self.headers_out() | {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",  # nginx would hold chunks back
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": raw})
        await _write(send, self.writer.role())

    async def _chunks(self, events: list[LoopEvent]) -> bytes:
        """One burst as server-sent events; neighbouring deltas of one kind become one chunk."""
        out: list[bytes] = []
        show_reasoning = self.gateway.settings.show_reasoning == "full"
        at = 0
        while at < len(events):
            event = events[at]
            kind = type(event)
            end = at + 1
            while end < len(events) and type(events[end]) is kind:
                end += 1
            if isinstance(event, ReasoningDelta):
                if show_reasoning:
                    out.append(self.writer.reasoning(_joined(events[at:end])))
            elif isinstance(event, AnswerDelta):
                out.append(self.writer.content(_joined(events[at:end])))
            elif isinstance(event, StepScored):
                assert self.steps is not None
                self.steps += [e for e in events[at:end] if isinstance(e, StepScored)]
            else:
                out += await self._last_chunks(event)
            at = end
        return b"".join(out)

    async def _last_chunks(self, ended: Ended) -> list[bytes]:
        fields, suspended = await self.conclude(ended)
        out = [self.writer.content(suspended.question)] if suspended else []
        out.append(self.writer.delta(fields))
        out.append(self.writer.finish("length" if ended.finish_reason == "length" else "stop"))
        if self.turn.include_usage:
            out.append(self.writer.usage(ended.usage))
        out.append(reply.DONE)
        return out

    def _failed(self, error: Exception) -> bytes:
        if isinstance(error, PirError):
            logger.error("%s: failed while streaming: %s", self.turn.params.request_id, error)
            return self.writer.error(error.body())
        logger.error("%s: internal error while streaming", self.turn.params.request_id, exc_info=error)
        body = {"message": "internal error", "type": "server_error", "param": None, "code": "internal_error"}
        return self.writer.error({"error": body})


def _joined(events: list[LoopEvent]) -> str:
    return "".join(e.text for e in events if isinstance(e, ReasoningDelta | AnswerDelta))


async def _write(send: Send, body: bytes) -> None:
    if body:
        await send({"type": "http.response.body", "body": body, "more_body": True})
