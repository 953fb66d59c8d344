"""Rules of WebSockets alone: what a connection holds, what ends it and what does not, and what a user says meanwhile."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from pir_serve.conformance.bench import Bench, NotTestable, Violation, nonce, require
from pir_serve.conformance.checks.chains import is_not_found
from pir_serve.conformance.checks.check import check
from pir_serve.conformance.responses_socket import reply_on
from pir_serve.conformance.responses_stream import ENDS
from pir_serve.conformance.surface import Reply, Turn, mapping, text

_ENDED = ("response_already_completed", "response_not_active")
_GIVEN_BACK_S = 5.0
Socket = aiohttp.ClientWebSocketResponse


@asynccontextmanager
async def _connected(bench: Bench) -> AsyncGenerator[Socket, None]:
    async with bench.http.socket(bench.surface.path) as socket:
        yield socket


async def _create(bench: Bench, socket: Socket, body: Any) -> Reply:
    bench.requests += 1
    await socket.send_str(body if isinstance(body, str) else json.dumps(body))
    return await _reply(bench, socket)


async def _reply(bench: Bench, socket: Socket) -> Reply:
    pieces = [raw async for raw in reply_on(socket)]
    return bench.surface.read(pieces[-1])


@check(
    421,
    "what is not stored, on its connection",
    "With `store: false` a connection remembers its own responses: `previous_response_id` resumes there, again and again, "
    "and nowhere else.",
    on="socket",
)
async def not_stored(bench: Bench) -> None:
    body = bench.surface.body(bench.call(bench.problem(own=True), fields={"store": False}))
    async with _connected(bench) as socket:
        for _ in range(bench.setup.tries):
            asked = await _create(bench, socket, body)
            require(asked.ok, f"a plain problem got {asked.raw.status}: {asked.raw.text[:200]}")
            if asked.asks:
                break
        else:
            raise NotTestable("the model asked nothing")
        answer = {**body, "input": bench.setup.problems[0].answer, "previous_response_id": asked.id}
        for _ in range(2):
            reply = await _create(bench, socket, answer)
            require(reply.ok, f"the answer got {reply.raw.status}: {reply.raw.text[:200]}")
            bench.require_continues(asked, reply)
    async with _connected(bench) as other:
        gone = await _create(bench, other, answer)
        is_not_found(gone.raw, "previous_response_not_found", 400)


@check(
    422,
    "a mistake does not end the connection",
    "What is no JSON, of no known type, or wrong in its fields is an `error` event with a `status` of 4xx and OpenAI's error "
    "object; the next request is served.",
    on="socket",
)
async def mistakes(bench: Bench) -> None:
    good = bench.surface.body(bench.call((Turn("user", "Hello"),)))
    wrong: tuple[Any, ...] = (
        "{",
        "[]",
        {"type": "no.such.type"},
        {**good, "model": "no-such-model"},
        {**good, "input": 7},
    )
    async with _connected(bench) as socket:
        for body in wrong:
            reply = await _create(bench, socket, body)
            require(400 <= reply.raw.status < 500, f"{body!r:.60} got {reply.raw.status}: {reply.raw.text[:200]}")
            require((reply.error or {}).get("message"), f"the error has no message: {reply.raw.text[:200]}")
        require((await _create(bench, socket, good)).ok, "after a mistake the connection serves no more")


@check(
    423,
    "said while it reasons",
    "`response.steer` is accepted; the response ends `incomplete` with the reason `steered`, and another, which names it in "
    "`previous_response_id`, goes on with the same reasoning.",
    on="socket",
)
async def steered(bench: Bench) -> None:
    for _ in range(bench.setup.tries):
        async with _connected(bench) as socket:
            if await _steered(bench, socket):
                return
    raise NotTestable("the model reasons too quickly to be told anything meanwhile")


async def _steered(bench: Bench, socket: Socket) -> bool:
    """Whether it could be tried."""
    bench.requests += 1
    await socket.send_str(json.dumps(bench.surface.body(bench.call(bench.problem(own=True)))))
    created = mapping(json.loads((await socket.receive()).data))
    first = text(mapping(created.get("response")).get("id"))
    steer = {"type": "response.steer", "previous_response_id": first, "input": bench.setup.problems[0].answer}
    await socket.send_str(json.dumps(steer))
    left_s: float | None = None
    while True:
        try:
            event = mapping(json.loads((await socket.receive(left_s)).data))
        except TimeoutError:
            raise Violation("the response ends as if nothing had been said") from None
        kind, response = event.get("type"), mapping(event.get("response"))
        if kind == "response.steer.failed":
            code = mapping(event.get("error")).get("code")
            require(code in _ENDED, f"what was said of a response in progress is refused with {code!r}")
            return False
        require(kind != "error", f"response.steer got {event.get('error')}")
        if kind == "response.incomplete" and mapping(response.get("incomplete_details")).get("reason") == "steered":
            break
        if kind in ENDS:
            left_s = _GIVEN_BACK_S  # it was too late: what was said must come back
    successor = await _reply(bench, socket)
    require(successor.ok, f"the reasoning does not go on: {successor.raw.text[:200]}")
    begun = mapping(mapping(successor.raw.frames[0].json).get("response")).get("previous_response_id")
    require(begun == first, f"the response that goes on names {begun!r} as the one before it, not {first!r}")
    return True


@check(
    424,
    "said too late, or to nobody",
    "`response.steer.failed` gives back what was said, with a code: `response_already_completed` of a response that has "
    "ended, `response_not_found` of one that the connection does not know.",
    on="socket",
)
async def too_late(bench: Bench) -> None:
    async with _connected(bench) as socket:
        reply = await _create(bench, socket, bench.surface.body(bench.call((Turn("user", "Hello"),))))
        require(reply.ok, f"a greeting got {reply.raw.status}: {reply.raw.text[:200]}")
        for response_id, code in ((reply.id, _ENDED[0]), (f"resp_{nonce()}", "response_not_found")):
            steer = {"previous_response_id": response_id, "input": "One more thing."}
            await socket.send_str(json.dumps({"type": "response.steer", **steer}))
            event = mapping(json.loads((await socket.receive()).data))
            require(event.get("type") == "response.steer.failed", f"it got {event.get('type')!r}")
            found = mapping(event.get("error")).get("code")
            require(found == code, f"the code is {found!r}, not {code!r}")
            require(mapping(event.get("steer")) == steer, f"what was said comes back as {event.get('steer')}")
