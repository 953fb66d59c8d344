"""Background responses: they outlive their client, can be followed again, cancelled, and are never left hanging."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from pydantic import ValidationError

from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, sure
from tests.serve.chat.test_restart import gateway_process
from tests.serve.conftest import Desk, in_process
from tests.serve.responses.wire import URL, Json, checked_event, checked_response, events_of, output_text

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]
BODY: Json = {"model": "scripted", "input": PROBLEM, "background": True}


def slowly(prompt: str) -> Line:
    return Line(curious(prompt), delay_s=0.05)


def never_ending(prompt: str) -> Line:
    return Line("\nThe number of pens is 6." * 200, delay_s=0.05)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to pass")


async def ended(client: httpx.AsyncClient, response_id: str, *, within_s: float = 20) -> Json:
    deadline = time.monotonic() + within_s
    while True:
        body = checked_response((await client.get(f"{URL}/{response_id}")).json())
        if body["status"] not in ("queued", "in_progress"):
            return body
        assert time.monotonic() < deadline, f"still {body['status']}"
        await asyncio.sleep(0.05)


async def test_it_is_made_while_nobody_waits_and_can_be_read_again(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(slowly)) as client:
        first = checked_response((await client.post(URL, json=BODY)).json())
        assert first["status"] == "queued" and first["background"] is True and first["output"] == []
        body = await ended(client, first["id"])
        assert body["status"] == "completed" and output_text(body) == QUESTION
        text = (await client.get(f"{URL}/{first['id']}?stream=true")).text
        events = events_of(text)
        assert [e["type"] for e in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
        assert events[-1]["response"] == body
        for after in (0, 4, len(events) - 2, len(events) - 1):
            rest = await client.get(f"{URL}/{first['id']}?stream=true&starting_after={after}")
            assert events_of(rest.text, first=after + 1) == events[after + 1 :]
        final = await client.post(URL, json=BODY | {"input": "4 dollars", "previous_response_id": first["id"]})
        assert output_text(await ended(client, final.json()["id"])) == "Six pens at 4 dollars each."


def test_it_survives_its_client_and_the_sdk_reconnects(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(slowly)) as desk, OpenAI(base_url=f"{desk.url}/v1", api_key="x") as client:
        stream = client.responses.create(model="scripted", input=PROBLEM, background=True, stream=True)
        seen = [next(stream) for _ in range(5)]
        stream.close()
        created: Any = seen[0]
        rest = list(
            client.responses.retrieve(created.response.id, stream=True, starting_after=seen[-1].sequence_number)
        )
        last: Any = rest[-1]
        assert last.type == "response.completed" and last.response.output_text == QUESTION
        numbers = [event.sequence_number for event in (*seen, *rest)]
        assert numbers == list(range(len(numbers)))
        assert client.responses.retrieve(created.response.id).status == "completed"
        assert desk.engine.aborted == 0


async def test_a_response_that_is_said_to_have_ended_can_be_gone_on_from(make_desk: MakeDesk) -> None:
    """Though the store is slow: another process is writing to it."""
    desk = make_desk(lambda prompt: Line(sure(prompt), delay_s=0.05))
    async with in_process(desk) as client:
        begun = (await client.post(URL, json=BODY)).json()
        with sqlite3.connect(desk.gateway.settings.store_path, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            polling = asyncio.create_task(ended(client, begun["id"]))
            await until(lambda: bool(desk.engine.requests) and not desk.engine.running)
            await asyncio.sleep(0.2)
            assert not polling.done()
            other.execute("COMMIT")
        first = await polling
        assert first["status"] == "completed"
        body = BODY | {"input": "And for 7?", "previous_response_id": first["id"], "background": False}
        assert (await client.post(URL, json=body)).status_code == 200


async def test_cancelling_aborts_the_engine_and_stays_so(make_desk: MakeDesk) -> None:
    desk = make_desk(never_ending)
    async with in_process(desk) as client:
        first = (await client.post(URL, json=BODY)).json()
        await until(lambda: desk.engine.running > 0)
        following = asyncio.create_task(client.get(f"{URL}/{first['id']}?stream=true"))
        await asyncio.sleep(0.2)
        for _ in range(2):
            cancelled = checked_response((await client.post(f"{URL}/{first['id']}/cancel")).json())
            assert cancelled["status"] == "cancelled"
        assert (await ended(client, first["id"]))["status"] == "cancelled"
        assert desk.engine.aborted == 1 and desk.engine.running == 0
        events = events_of((await following).text)  # ends, although no event tells of it
        assert all(e["type"] != "response.completed" for e in events)
        reply = await client.post(URL, json=BODY | {"previous_response_id": first["id"]})
        assert reply.status_code == 400


async def test_deleting_one_that_runs_ends_it(make_desk: MakeDesk) -> None:
    desk = make_desk(never_ending)
    async with in_process(desk) as client:
        first = (await client.post(URL, json=BODY)).json()
        await until(lambda: desk.engine.running > 0)
        await client.delete(f"{URL}/{first['id']}")
        await until(lambda: desk.engine.running == 0)
        await asyncio.sleep(0.1)
        assert (await client.get(f"{URL}/{first['id']}")).status_code == 404


async def test_another_process_follows_and_cancels_by_the_store(make_desk: MakeDesk) -> None:
    first_desk, second_desk = make_desk(never_ending), make_desk(sure)
    async with in_process(first_desk) as one, in_process(second_desk) as other:
        first = (await one.post(URL, json=BODY)).json()
        following = asyncio.create_task(other.get(f"{URL}/{first['id']}?stream=true"))
        await asyncio.sleep(1)
        assert (await other.get(f"{URL}/{first['id']}")).json()["status"] in ("queued", "in_progress")
        cancelled = await other.post(f"{URL}/{first['id']}/cancel")
        assert checked_response(cancelled.json())["status"] == "cancelled"
        await until(lambda: first_desk.engine.running == 0)
        events = events_of((await following).text)
        assert len(events) > 3 and events[2]["type"] == "response.in_progress"
        assert (await ended(one, first["id"]))["status"] == "cancelled"


async def test_an_engine_that_fails_fails_the_response(make_desk: MakeDesk) -> None:
    async with in_process(make_desk([Line("\nSo", end="die"), Line(" far", end="die")])) as client:
        first = (await client.post(URL, json=BODY)).json()
        body = await ended(client, first["id"])
        assert body["status"] == "failed" and body["error"]["message"].startswith("engine_unavailable")
        events = events_of((await client.get(f"{URL}/{first['id']}?stream=true")).text)
        assert events[-1]["type"] == "response.failed" and events[-1]["response"] == body


async def test_one_that_the_gateway_stopped_under_is_failed_not_hanging(make_desk: MakeDesk) -> None:
    desk = make_desk(never_ending)
    async with in_process(desk) as client:
        first = (await client.post(URL, json=BODY)).json()
        await until(lambda: desk.engine.running > 0)
    async with in_process(make_desk(sure)) as client:
        body = await ended(client, first["id"], within_s=1)
        assert body["status"] == "failed" and "stopping" in body["error"]["message"]


def test_one_whose_process_is_killed_is_failed_after_a_restart(tokenizer_dir: Path, tmp_path: Path) -> None:
    arguments = (tokenizer_dir, tmp_path / "pir.db", tmp_path / "prompts")
    with gateway_process(*arguments) as (url, process):
        first = httpx.post(f"{url}{URL}", json=BODY | {"input": f"Think slowly. {PROBLEM}"}).json()
        time.sleep(2)  # some events are in the log
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with gateway_process(*arguments) as (url, _):
        body = checked_response(httpx.get(f"{url}{URL}/{first['id']}").json())
        assert body["status"] == "failed" and body["error"]["code"] == "server_error"
        events = events_of(httpx.get(f"{url}{URL}/{first['id']}?stream=true", timeout=20).text)
        assert len(events) > 3 and events[-1]["type"] == "response.failed" and events[-1]["response"] == body


async def test_what_cannot_be_in_the_background_is_said(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        reply = await client.post(URL, json=BODY | {"store": False})
        assert reply.status_code == 400 and reply.json()["error"]["param"] == "store"
        first = (await client.post(URL, json=BODY)).json()
        await ended(client, first["id"])
        for query in ("stream=maybe", "stream=true&starting_after=x", "stream=true&starting_after=-2"):
            assert (await client.get(f"{URL}/{first['id']}?{query}")).status_code == 400
        reply = await client.post(URL, json=BODY | {"input": [{"type": "computer_call_output"}]})
        assert reply.status_code == 400


def test_the_types_that_events_are_read_with_are_strict() -> None:
    good = {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "m", "output_index": 0}
    good |= {"content_index": 0, "delta": "x", "logprobs": []}
    checked_event(good)
    for field in good:
        with pytest.raises((ValidationError, KeyError)):
            checked_event({k: v for k, v in good.items() if k != field})
