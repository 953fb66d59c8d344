"""The Responses API over a WebSocket, played with the SDK's own connection; each event is read with the SDK's types."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from pir_serve.api.app import create_app
from pir_serve.api.responses import socket
from pir_serve.unbroken import PAUSES_S
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious
from tests.serve.conftest import Desk
from tests.serve.responses.sdk_socket import SDK_WARNS, connected, received, thoughtful, until
from tests.serve.responses.wire import ASK, ENDS, URL, Json, assembled, output_text

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
pytestmark = SDK_WARNS
FINAL = "Six pens at 4 dollars each."


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("tools", [None, [ASK]])
def test_a_question_is_answered_on_the_same_connection(
    make_desk: MakeDesk, on_port: Serve, store: bool, tools: Any
) -> None:
    with on_port(make_desk(curious)) as desk, connected(desk) as connection:
        more: Any = {} if tools is None else {"tools": tools}
        connection.response.create(model="scripted", input=PROBLEM, store=store, **more)
        first = assembled(until(connection, *ENDS))
        assert first["pir"]["status"] == "awaiting_user" and first["store"] is store
        answer: Any = "4 dollars"
        if tools:
            call = first["output"][1]
            answer = [{"type": "function_call_output", "call_id": call["call_id"], "output": "4 dollars"}]
        for _ in range(2):  # a fork
            connection.response.create(
                model="scripted", input=answer, previous_response_id=first["id"], store=store, **more
            )
            final = assembled(until(connection, *ENDS))
            assert output_text(final) == FINAL and final["previous_response_id"] == first["id"]
        connection.response.create(model="scripted", input="And?", previous_response_id=final["id"], store=store)
        assert output_text(assembled(until(connection, *ENDS))) == QUESTION
        assert desk.num_suspended == (2 if store else 0)
    if not store:
        with on_port(make_desk(curious)) as desk, connected(desk) as connection:
            connection.response.create(model="scripted", input="4", previous_response_id=first["id"])
            assert received(connection)["error"]["code"] == "previous_response_not_found"


def test_lanes_are_made_at_once_and_each_in_turn(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(lambda p: Line(curious(p), delay_s=0.02))) as desk, connected(desk) as connection:
        for lane in ("a", "b", "a"):
            connection.response.create(model="scripted", input=PROBLEM, stream_id=lane)
        events: dict[str, list[Json]] = {"a": [], "b": []}
        while sum(e["type"] in ENDS for lane in events.values() for e in lane) < 3:
            event = received(connection)
            events[event["stream_id"]].append(event)
        kinds = [e["type"] for e in events["a"]]
        assert kinds.count("response.created") == 2 and kinds.index("response.completed") < len(kinds) - 1
        half = kinds.index("response.completed") + 1
        for part in (events["a"][:half], events["a"][half:], events["b"]):
            assert output_text(assembled(part)) == QUESTION
        assert len(desk.engine.requests) == 3


def test_mistakes_are_error_events_and_the_connection_lives_on(make_desk: MakeDesk, on_port: Serve) -> None:
    good: Json = {"type": "response.create", "model": "scripted", "input": PROBLEM}
    wrong: list[tuple[Any, str | None, int]] = [
        ("{", None, 400), ("[]", None, 400), ("\x00", None, 400), ({"type": "session.update"}, "type", 400),
        ({"model": "scripted"}, "type", 400), (good | {"model": "gpt-9"}, "model", 404),
        (good | {"background": True}, "background", 400), (good | {"input": []}, "input", 400),
        (good | {"stream_id": 7}, "stream_id", 400), (good | {"generate": False}, "generate", 400),
        (good | {"previous_response_id": "resp_x"}, "previous_response_id", 400),
        ({"type": "response.steer", "input": "x"}, "previous_response_id", 400),
    ]  # fmt: skip
    with on_port(make_desk(curious, max_body_bytes=20_000)) as desk, connected(desk) as connection:
        for data, param, status in wrong:
            connection.send_raw(data if isinstance(data, str) else json.dumps(data))
            event = received(connection)
            assert (event["type"], event["status"], event["error"]["param"]) == ("error", status, param), data
        connection.send_raw(b"\xff\xfe")
        assert received(connection)["type"] == "error"
        connection.send_raw(" " * 30_000)
        assert received(connection)["status"] == 400
        connection.response.create(model="scripted", input=PROBLEM)
        assert output_text(assembled(until(connection, *ENDS))) == QUESTION


def test_an_engine_that_dies_fails_the_response_only(make_desk: MakeDesk, on_port: Serve) -> None:
    script = [*[Line("\nSo", end="die")] * (1 + len(PAUSES_S)), Line(curious(""))]
    with on_port(make_desk(script)) as desk, connected(desk) as connection:
        connection.response.create(model="scripted", input=PROBLEM)
        failed = assembled(until(connection, *ENDS))
        assert failed["status"] == "failed" and failed["error"]["message"].startswith("engine_unavailable")
        connection.response.create(model="scripted", input=PROBLEM)
        assert output_text(assembled(until(connection, *ENDS))) == QUESTION


def test_keys_and_origins_are_checked_at_the_door(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious, api_key=("correct-horse",))) as desk:
        url = f"{desk.url.replace('http', 'ws')}{URL}"
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            with pytest.raises(InvalidStatus) as refused:
                connect(url, additional_headers=headers)
            assert refused.value.response.status_code == 401
            assert b"invalid_api_key" in (refused.value.response.body or b"")
        connect(url, additional_headers={"Authorization": "Bearer correct-horse"}, origin="http://a.test").close()  # type: ignore[arg-type]
    with on_port(make_desk(curious)) as desk:
        url = f"{desk.url.replace('http', 'ws')}{URL}"
        with pytest.raises(InvalidStatus) as refused:
            connect(url, origin="https://evil.test")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
        connect(url, origin=desk.url).close()  # type: ignore[arg-type]


def test_going_away_aborts_what_is_made(make_desk: MakeDesk, on_port: Serve) -> None:
    import time

    with on_port(make_desk(thoughtful)) as desk:
        with connected(desk) as connection:
            for lane in ("a", "b"):
                connection.response.create(model="scripted", input=PROBLEM, stream_id=lane)
            while desk.engine.running < 2:
                received(connection)
        deadline = time.monotonic() + 5
        while desk.engine.running:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert desk.engine.aborted == 2 and desk.num_suspended == 0


async def test_a_peer_that_takes_nothing_is_let_go(make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "_SEND_S", 0.3)
    desk = make_desk(thoughtful)
    create = {"type": "response.create", "model": "scripted", "input": PROBLEM}
    incoming: list[Json] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": json.dumps(create)},
    ]
    sent: list[Json] = []

    async def receive() -> Json:
        if incoming:
            return incoming.pop(0)
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "websocket.send" and len(sent) > 4:
            await asyncio.get_running_loop().create_future()

    scope = {"type": "websocket", "path": URL, "headers": [], "query_string": b"", "subprotocols": []}
    scope |= {"extensions": {}, "scheme": "ws", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
    async with desk.gateway.running():
        async with asyncio.timeout(10):
            await create_app(desk.gateway, manage=False)(scope, receive, send)
        assert desk.engine.running == 0 and desk.engine.aborted == 1


def test_the_async_sdk_plays_it_too(make_desk: MakeDesk, on_port: Serve) -> None:
    async def play(url: str) -> None:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="x") as client, client.responses.connect() as connection:
            await connection.response.create(model="scripted", input=PROBLEM)
            async for event in connection:
                if event.type == "response.completed":
                    break
            assert event.type == "response.completed" and event.response.output_text == QUESTION

    with on_port(make_desk(curious)) as desk:
        asyncio.run(play(desk.url))


def test_the_gateway_can_stop_while_connections_are_open(make_desk: MakeDesk, on_port: Serve) -> None:
    serving = on_port(make_desk(thoughtful))
    desk = serving.__enter__()
    with connected(desk) as connection:
        connection.response.create(model="scripted", input=PROBLEM)
        until(connection, "response.reasoning_text.delta")
        serving.__exit__(None, None, None)
        with pytest.raises(ConnectionClosed):
            while True:
                connection.recv_bytes()
