"""/v1/responses over HTTP: create, retrieve, delete, cancel, input items."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pir_serve.api.exchange import json_reply, read_body, request_id, visit_of
from pir_serve.api.gateway import Gateway
from pir_serve.api.pump import ClientGone, Pump
from pir_serve.api.request import read_object
from pir_serve.api.responses.body import own_params, parse
from pir_serve.api.responses.generation import Generation
from pir_serve.api.responses.jobs import Jobs, Replay, body_of
from pir_serve.api.responses.link import link
from pir_serve.api.responses.writer import Event
from pir_serve.api.sse import DONE, KEEPALIVE, STOPPING, end_stream, start_stream, write
from pir_serve.api.turn import TurnEvent, prepare
from pir_serve.errors import PirError, RequestError, ResponseNotFound, Unsupported
from pir_serve.store.responses import ResponseRecord

logger = logging.getLogger(__name__)

_PAGE = 20
_MAX_PAGE = 100


async def create(request: Request) -> ASGIApp:
    gateway: Gateway = request.app.state.gateway
    visit = visit_of(request)
    wanted = parse(read_object(await read_body(request, gateway.settings.max_body_bytes)))
    with own_params():
        turn_request, conversation = await link(gateway, wanted, tenant=visit.caller.tenant)
        turn = await prepare(gateway, turn_request, visit=visit, headers=request.headers)
    generation = Generation(gateway, turn, wanted, conversation)
    headers = {"x-request-id": turn.params.request_id, "x-pir-resume": turn.how}
    if wanted.body.background:
        jobs: Jobs = request.app.state.jobs
        job = await jobs.start(generation)
        if wanted.body.stream:
            return Replay(gateway, job, headers=headers)
        return json_reply({**generation.body, "status": "queued"}, headers=headers)
    return _Streamed(generation, headers) if wanted.body.stream else _Whole(generation, headers)


async def retrieve(request: Request) -> ASGIApp:
    gateway: Gateway = request.app.state.gateway
    record = await _record(request)
    jobs: Jobs = request.app.state.jobs
    if _flag(request, "stream"):
        if not record.body.get("background"):
            raise RequestError(
                "only responses that were created with background: true can be streamed again", param="stream"
            )
        after = _number(request, "starting_after", default=-1, low=-1, high=1 << 62)
        headers = {"x-request-id": request_id(request)}
        return Replay(gateway, jobs.find(record) or record, headers=headers, after=after)
    job = jobs.find(record)
    return json_reply(await job.body() if job else body_of(record))


async def delete(request: Request) -> HttpResponse:
    gateway: Gateway = request.app.state.gateway
    record = await _record(request)
    jobs: Jobs = request.app.state.jobs
    await gateway.store.responses.delete(record.tenant, record.id)
    if job := jobs.find(record):
        job.stop()
    return json_reply({"id": record.id, "object": "response", "deleted": True})


async def cancel(request: Request) -> HttpResponse:
    record = await _record(request)
    if not record.body.get("background"):
        raise RequestError(
            "only responses that were created with background: true can be cancelled; close the connection instead",
            param="response_id",
        )
    jobs: Jobs = request.app.state.jobs
    return json_reply(await jobs.cancel(record))


async def input_items(request: Request) -> HttpResponse:
    """Newest first unless `order=asc`, a page at a time."""
    record = await _record(request)
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise RequestError("order must be asc or desc", param="order")
    items = list(record.input) if order == "asc" else list(reversed(record.input))
    after = request.query_params.get("after")
    if after:
        places = [k for k, item in enumerate(items) if item["id"] == after]
        if not places:
            raise RequestError(f"there is no item {after[:80]!r} in this response's input", param="after")
        items = items[places[0] + 1 :]
    limit = _number(request, "limit", default=_PAGE, low=1, high=_MAX_PAGE)
    page = items[:limit]
    return json_reply(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else "",
            "last_id": page[-1]["id"] if page else "",
            "has_more": len(items) > limit,
        }
    )


async def compact(_: Request) -> HttpResponse:
    """Raises: Unsupported, always: a path of the API that this server does not have."""
    raise Unsupported("compaction is not supported: a conversation is kept whole, and one that is too long is an error")


class _Whole:
    """A reply that is generated while its connection is watched."""

    def __init__(self, generation: Generation, headers: dict[str, str]) -> None:
        self.generation = generation
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with own_params():  # in a task of its own: else every token would wake the coroutines of all layers around us
            await asyncio.create_task(self._reply(scope, receive, send))

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        generation = self.generation
        generation.opening()
        try:
            async with Pump[TurnEvent]([generation.turn.events()], receive) as pump:
                while (burst := await pump.take()) is not None:
                    await generation.take(burst[1])
            response = json_reply(generation.body, headers=self._headers())
        except ClientGone:
            logger.info("%s: the client has gone", self.headers["x-request-id"])
            return
        except asyncio.CancelledError:
            response = json_reply(STOPPING.body(), status=STOPPING.status, headers=self.headers)
        await response(scope, receive, send)
        generation.keep()

    def _headers(self) -> dict[str, str]:
        suspended = self.generation.outcome.suspended if self.generation.outcome else None
        if suspended is None:
            return self.headers | {"x-pir-status": "final"}
        return self.headers | {"x-pir-status": "awaiting_user", "x-pir-session": suspended.sid}


class _Streamed(_Whole):
    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        generation = self.generation
        keepalive_s = generation.gateway.settings.keepalive_s
        try:
            async with Pump[TurnEvent]([generation.turn.events()], receive) as pump:
                # Until something has come, an error can still be a proper HTTP status.
                burst = await pump.take(keepalive_s)
                send = await start_stream(scope, send, self.headers)
                await write(send, _joined(generation.opening()))
                try:
                    while burst is not None:
                        await write(send, _joined(await generation.take(burst[1])) if burst[1] else KEEPALIVE)
                        burst = await pump.take(keepalive_s)
                except ClientGone:
                    raise
                except asyncio.CancelledError:
                    await write(send, _joined(await generation.fail(STOPPING)))
                except Exception as error:  # the edge of a request
                    await write(send, _joined(await generation.fail(logged(error, self.headers["x-request-id"]))))
                await write(send, DONE)
        except ClientGone:
            logger.info("%s: the client has gone", self.headers["x-request-id"])
            return
        except asyncio.CancelledError:  # the server stops, before anything has come
            response = json_reply(STOPPING.body(), status=STOPPING.status, headers=self.headers)
            await response(scope, receive, send)
            return
        await end_stream(send)
        generation.keep()


def logged(error: Exception, request_id: str) -> PirError | None:
    """What failed while streaming, written to the log; None: a mistake of ours."""
    if isinstance(error, PirError):
        logger.error("%s: failed while streaming: %s", request_id, error)
        return error
    logger.error("%s: internal error while streaming", request_id, exc_info=error)
    return None


async def _record(request: Request) -> ResponseRecord:
    gateway: Gateway = request.app.state.gateway
    tenant = visit_of(request).caller.tenant
    response_id = request.path_params["response_id"]
    record = await gateway.store.responses.get(tenant, response_id)
    if record is None:
        raise ResponseNotFound(f"there is no response {response_id[:80]!r}", param="response_id")
    return record


def _joined(events: Sequence[Event]) -> bytes:
    return b"".join(event.sse() for event in events)


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false").lower()
    if value not in ("true", "false"):
        raise RequestError(f"{name} must be true or false", param=name)
    return value == "true"


def _number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or not low <= int(text[:20]) <= high:
        raise RequestError(f"{name} must be a whole number from {low} to {high}", param=name)
    return int(text)
