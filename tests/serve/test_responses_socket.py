"""The Responses API over a WebSocket, played with the SDK's own connection; each event is read with the SDK's types."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.resources.responses.responses import ResponsesConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from pir_serve.api.app import create_app
from pir_serve.api.responses import socket
from pir_serve.unbroken import PAUSES_S
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, responses
from tests.serve.conftest import Desk
from tests.serve.responses_wire import ENDS, URL, Json, assembled, checked_event, output_text
from tests.serve.test_responses import ASK

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")
"""Of websockets 17 about how the SDK (3.54) uses it."""
FINAL = "Six pens at 4 dollars each."
LONG = "The number of pens is 6.\n" * 40


def thoughtful(prompt: str) -> Line:
    """Reasons for seconds, then asks; told the price meanwhile, it answers at once."""
    if responses(prompt):
        return Line(curious(prompt))
    return Line(f"\n{LONG}{curious(prompt)}", delay_s=0.02)


@contextmanager
def connected(desk: Desk, **headers: str) -> Iterator[ResponsesConnection]:
    client = OpenAI(base_url=f"{desk.url}/v1", api_key="unused", default_headers=headers)
    with client, client.responses.connect() as connection:
        yield connection


def received(connection: ResponsesConnection) -> Json:
    return checked_event(json.loads(connection.recv_bytes()), over_socket=True)


def until(connection: ResponsesConnection, *kinds: str) -> list[Json]:
    events = [received(connection)]
    while events[-1]["type"] not in kinds:
        events.append(received(connection))
    return events


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


def test_what_the_user_says_meanwhile_goes_into_the_reasoning(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(thoughtful)) as desk, connected(desk) as connection:
        connection.response.create(model="scripted", input=PROBLEM)
        first = until(connection, "response.reasoning_text.delta")
        first_id = first[0]["response"]["id"]
        connection.response.steer(previous_response_id=first_id, input="4 dollars")
        first += until(connection, "response.incomplete")
        (accepted,) = [e for e in first if e["type"] == "response.steer.accepted"]
        assert accepted["steer"]["previous_response_id"] == first_id and accepted["steer"]["id"]
        assert [e["sequence_number"] for e in first] == list(range(len(first)))
        steered = assembled([e for e in first if e is not accepted])
        assert steered["incomplete_details"] == {"reason": "steered"}
        assert [item["type"] for item in steered["output"]] == ["reasoning"]
        successor = assembled(until(connection, *ENDS))
        assert successor["id"] != first_id and successor["previous_response_id"] == first_id
        assert successor["status"] == "completed" and output_text(successor) == FINAL
        assert successor["pir"]["volunteered"] == ["4 dollars"] and successor["pir"]["resume"] == "new"
        said = steered["output"][0]["content"][0]["text"] + successor["output"][0]["content"][0]["text"]
        assert said.startswith("The number of pens is 6.\n") and said.endswith("One pen costs 4 dollars.\n")
        connection.response.create(model="scripted", input="And for 7?", previous_response_id=successor["id"])
        until(connection, "response.created")
    first_leg, second_leg = desk.engine.requests[:2]
    prefix = second_leg.prompt_ids[: len(first_leg.prompt_ids)]
    assert prefix == first_leg.prompt_ids, "the same hidden reasoning goes on"
    assert "<response>4 dollars</response>" in desk.engine.prompt_text(1)
    # The next request sees what was said, in its place.
    assert f"{PROBLEM}\n\n4 dollars<|im_end|>" in desk.engine.prompt_text(2)


def test_a_fact_said_while_it_reasons_and_a_question_after_it(make_desk: MakeDesk, on_port: Serve) -> None:
    """Not stored: the question of the successor is answered from what the connection holds."""

    def twice(prompt: str) -> Line:
        told = responses(prompt)
        if len(told) == 1:
            return Line("\n<asking>Which currency?</asking>")
        return Line(f"\n</think>\n{' '.join(told)}.") if told else thoughtful(prompt)

    with on_port(make_desk(twice)) as desk, connected(desk) as connection:
        connection.response.create(model="scripted", input=PROBLEM, store=False)
        first_id = until(connection, "response.reasoning_text.delta")[0]["response"]["id"]
        message: Any = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "4"}]}]
        connection.response.steer(previous_response_id=first_id, input=message)
        until(connection, "response.incomplete")
        question = until(connection, *ENDS)[-1]["response"]
        assert output_text(question) == "Which currency?"
        connection.response.create(model="scripted", input="euros", previous_response_id=question["id"], store=False)
        assert output_text(until(connection, *ENDS)[-1]["response"]) == "4 euros."
        for used, code in ((first_id, "response_not_active"), (question["id"], "response_already_completed")):
            connection.response.steer(previous_response_id=used, input="too late")
            event = received(connection)
            assert (event["type"], event["error"]["code"]) == ("response.steer.failed", code)
            assert event["steer"] == {"previous_response_id": used, "input": "too late"}


def test_what_cannot_be_steered_is_returned(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(thoughtful)) as desk, connected(desk) as connection:
        connection.response.steer(previous_response_id="resp_nowhere", input="4")
        assert received(connection)["error"]["code"] == "response_not_found"
        connection.response.create(model="scripted", input=PROBLEM)
        response_id = until(connection, "response.reasoning_text.delta")[0]["response"]["id"]
        wrong: list[Any] = [
            "", "  ", [], 7, None, [{"role": "assistant", "content": "x"}], [{"role": "system", "content": "x"}],
            [{"type": "function_call_output", "call_id": "c", "output": "x"}],
            [{"role": "user", "content": [{"type": "input_image", "image_url": "data:,"}]}],
        ]  # fmt: skip
        for steer_input in wrong:
            raw = {"type": "response.steer", "previous_response_id": response_id, "input": steer_input}
            connection.send_raw(json.dumps(raw))
            event = until(connection, "response.steer.failed")[-1]
            assert event["error"]["code"] == "invalid_input", steer_input
            assert "id" not in event["steer"]
        for k in range(40):
            connection.response.steer(previous_response_id=response_id, input=f"Fact {k}.")
        answers = []
        while len(answers) < 40:
            event = received(connection)
            if event["type"].startswith("response.steer."):
                answers.append(event)
        codes = {e.get("error", {}).get("code", "accepted") for e in answers}
        ended = {"response_not_active", "response_already_completed"}  # where the reasoning was quicker than we
        assert codes <= {"accepted", "too_many_pending_steers"} | ended and "accepted" in codes


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
