"""/v1/responses over a WebSocket: responses one after the other on a connection, and what the user says meanwhile.

Each message of the client is `response.create` or `response.steer`; what it gets are the events of the HTTP stream, and
`error`. Responses of one lane (`stream_id`) are made in turn, those of different lanes at once. Responses that are not
stored can be continued as long as the connection lives.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import orjson
from starlette.websockets import WebSocket, WebSocketDisconnect

from pir_serve.access.visit import Visit
from pir_serve.api.exchange import error_reply
from pir_serve.api.gateway import Gateway
from pir_serve.api.pump import Pump
from pir_serve.api.request import read_object
from pir_serve.api.responses.body import ResponsesRequest, own_params, parse
from pir_serve.api.responses.generation import Generation
from pir_serve.api.responses.link import Past, link
from pir_serve.api.responses.steer import Steering, failed, numbered
from pir_serve.api.responses.writer import Event
from pir_serve.api.sse import STOPPING
from pir_serve.api.turn import TurnEvent, prepare
from pir_serve.errors import Forbidden, PirError, RequestError, Unsupported
from pir_serve.loop import Steered
from pir_serve.telemetry.logs import current_request_id

logger = logging.getLogger(__name__)

MAX_LANES = 8
"""Of one connection at a time: each generates."""
MAX_QUEUED = 16
"""Requests that may wait in a lane."""
_MAX_KNOWN = 64
"""Responses of a connection that can be continued without the store; the oldest go first."""
_SEND_S = 60.0
"""For a peer to take an event: one that does not read must not hold a generation for ever."""
_HEADERS = ("x-pir-ask", "x-pir-conversation", "x-openwebui-chat-id")
"""Of the handshake: what they say holds for the whole connection. A session or an action is of one request."""


async def connect(websocket: WebSocket) -> None:
    gateway: Gateway = websocket.app.state.gateway
    try:
        await _refuse_other_sites(gateway, websocket)
    except PirError as error:
        await websocket.send_denial_response(error_reply(error, websocket))
        return
    await websocket.accept()
    await _Connection(gateway, websocket).serve()


class _PeerStuck(Exception):
    """The peer does not take what it is sent."""


class _Active:
    """A run that makes responses just now."""

    def __init__(self, generation: Generation, stream_id: str | None) -> None:
        self.generation = generation
        self.stream_id = stream_id
        self.steering = Steering()
        self.lock = asyncio.Lock()
        """Events get their numbers in the order in which they are sent."""


class _Connection:
    def __init__(self, gateway: Gateway, websocket: WebSocket) -> None:
        self._gateway = gateway
        self._websocket = websocket
        self._headers = {name: websocket.headers[name] for name in _HEADERS if name in websocket.headers}
        self._sending = asyncio.Lock()
        self._lanes: dict[str | None, asyncio.Queue[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._active: dict[str, _Active] = {}
        self._known: OrderedDict[str, Past] = OrderedDict()
        self._superseded: set[str] = set()
        self._reading: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Until the client goes: then all that is generated for it is aborted."""
        self._reading = asyncio.create_task(self._read_for_ever())
        try:
            await self._reading
        except (WebSocketDisconnect, _PeerStuck, asyncio.CancelledError):
            pass  # cancelled by a lane whose peer is gone or stuck, or by the server that stops
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _read_for_ever(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            raw = message.get("text")
            if raw is None:
                raw = message.get("bytes") or b""
            await self._hear(raw)

    async def _hear(self, raw: str | bytes) -> None:
        stream_id: str | None = None
        try:
            if len(raw) > self._gateway.settings.max_body_bytes:
                raise RequestError(f"a message may have {self._gateway.settings.max_body_bytes} bytes")
            data = read_object(raw)
            stream_id = _stream_id(data)
            kind = data.get("type")
            if kind == "response.create":
                self._queue(stream_id, data)
            elif kind == "response.steer":
                await self._steer(data)
            else:
                raise RequestError("type must be response.create or response.steer", param="type")
        except PirError as error:
            await self._send_error(error, stream_id)

    def _queue(self, stream_id: str | None, data: dict[str, Any]) -> None:
        lane = self._lanes.get(stream_id)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                raise RequestError(f"{MAX_LANES} streams of this connection are busy", param="stream_id")
            lane = self._lanes[stream_id] = asyncio.Queue(MAX_QUEUED)
            task = asyncio.create_task(self._run_lane(stream_id, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            lane.put_nowait(data)
        except asyncio.QueueFull:
            raise RequestError(f"{MAX_QUEUED} requests wait already; wait for a response", param="stream_id") from None

    async def _run_lane(self, stream_id: str | None, lane: asyncio.Queue[dict[str, Any]]) -> None:
        try:
            while not lane.empty():
                try:
                    await self._create(lane.get_nowait(), stream_id)
                except PirError as error:
                    await self._send_error(error, stream_id)
                except (WebSocketDisconnect, _PeerStuck):
                    raise
                except Exception:  # the edge of a request
                    logger.exception("internal error over a WebSocket")
                    await self._send_error(PirError("internal error"), stream_id)
        except (WebSocketDisconnect, _PeerStuck):
            assert self._reading is not None
            self._reading.cancel()
        finally:
            del self._lanes[stream_id]

    async def _create(self, data: dict[str, Any], stream_id: str | None) -> None:
        """Raises: PirError, before the response exists."""
        if self._gateway.presence.is_draining:
            raise STOPPING
        wanted = parse({key: value for key, value in data.items() if key not in ("type", "stream_id", "stream")})
        if wanted.body.background:
            raise Unsupported("background responses are made over HTTP", param="background")
        # Asked again: a key may be revoked while its connections last.
        visit = await self._gateway.visit(f"req_{secrets.token_hex(12)}", "WS /v1", self._websocket.headers)
        current_request_id.set(visit.request_id)
        try:
            self._gateway.limiter.request(visit.caller)
            await self._respond(wanted, visit, stream_id)
        finally:
            visit.leave()

    async def _respond(self, wanted: ResponsesRequest, visit: Visit, stream_id: str | None) -> None:
        with own_params():
            tenant = visit.caller.tenant
            request, conversation = await link(self._gateway, wanted, tenant=tenant, known=self._known)
            turn = await prepare(self._gateway, request, visit=visit, headers=self._headers)
        active = _Active(Generation(self._gateway, turn, wanted, conversation), stream_id)
        self._active[active.generation.id] = active
        try:
            with self._gateway.presence.at_work():
                await self._generate(active)
        finally:
            self._active.pop(active.generation.id, None)
        active.generation.keep()

    async def _generate(self, active: _Active) -> None:
        generation = active.generation
        await self._send(generation.opening(), active.stream_id)
        events = generation.turn.steered_events(active.steering.mailbox)
        try:
            async with Pump[TurnEvent | Steered]([events], _never) as pump:
                while (burst := await pump.take()) is not None:
                    await self._forward(active, burst[1])
        except (WebSocketDisconnect, _PeerStuck):
            raise
        except Exception as error:  # the edge of a request
            known = error if isinstance(error, PirError) else None
            logger.error("%s: failed over a WebSocket", generation.id, exc_info=None if known else error)
            async with active.lock:
                await self._send(await generation.fail(known), active.stream_id)
                self._note_ended(active)
        left = active.steering.undelivered()
        await self._send([numbered(generation.next_number(), answer) for answer in left], active.stream_id)

    async def _forward(self, active: _Active, burst: Sequence[TurnEvent | Steered]) -> None:
        generation = active.generation
        async with active.lock:
            before = generation.id
            made = await generation.take(burst)
            for event in burst:
                if isinstance(event, Steered):
                    active.steering.delivered()
            self._note_ended(active)
            if generation.id != before:
                self._active.pop(before, None)
                self._active[generation.id] = active
            await self._send(made, active.stream_id)

    def _note_ended(self, active: _Active) -> None:
        generation = active.generation
        for response_id, past in generation.ended:
            self._known[response_id] = past
            if response_id != generation.id:
                self._superseded.add(response_id)
            while len(self._known) > _MAX_KNOWN:
                oldest, _ = self._known.popitem(last=False)
                self._superseded.discard(oldest)
        generation.ended.clear()

    async def _steer(self, data: dict[str, Any]) -> None:
        response_id, steer_input = data.get("previous_response_id"), data.get("input")
        if not isinstance(response_id, str):
            raise RequestError("previous_response_id must be a string", param="previous_response_id")
        active = self._active.get(response_id)
        if active is None:
            code = "response_not_active" if response_id in self._superseded else "response_already_completed"
            code = code if response_id in self._known else "response_not_found"
            await self._send([numbered(0, failed(code, response_id, steer_input))], None)
            return
        # What is accepted first is heard first; the number comes in its turn.
        answer = active.steering.offer(response_id, steer_input)
        async with active.lock:
            await self._send([numbered(active.generation.next_number(), answer)], active.stream_id)

    async def _send_error(self, error: PirError, stream_id: str | None) -> None:
        event = {"type": "error", "status": int(error.status), **error.body()}
        await self._send([Event("error", orjson.dumps(event))], stream_id)

    async def _send(self, events: Sequence[Event], stream_id: str | None) -> None:
        """Raises: WebSocketDisconnect, _PeerStuck."""
        lane = b"" if stream_id is None else b',"stream_id":' + orjson.dumps(stream_id)
        async with self._sending:
            for event in events:
                text = (event.data[:-1] + lane + b"}").decode() if lane else event.data.decode()
                try:
                    async with asyncio.timeout(_SEND_S):
                        await self._websocket.send_text(text)
                except TimeoutError:
                    logger.warning("a WebSocket's peer takes nothing any more: closed")
                    with suppress(Exception):
                        await self._websocket.close(1008)
                    raise _PeerStuck from None
                except RuntimeError as error:  # closed meanwhile
                    raise WebSocketDisconnect from error


def _stream_id(data: dict[str, Any]) -> str | None:
    stream_id = data.get("stream_id")
    if stream_id is None:
        return None
    if not isinstance(stream_id, str) or not 0 < len(stream_id) <= 128:
        raise RequestError("stream_id must be a string of up to 128 characters", param="stream_id")
    if data.get("type") == "response.steer":
        raise RequestError("response.steer takes no stream_id: the response tells the stream", param="stream_id")
    return stream_id


async def _refuse_other_sites(gateway: Gateway, websocket: WebSocket) -> None:
    """Without keys, a page of any web site could else speak to a gateway on its visitor's machine.

    Raises: Forbidden.
    """
    origin = websocket.headers.get("origin")
    if origin and await gateway.auth.is_open() and urlsplit(origin).netloc != websocket.headers.get("host"):
        raise Forbidden("web pages of other sites may not connect to a gateway that needs no API key")


async def _never() -> Any:
    await asyncio.get_running_loop().create_future()
