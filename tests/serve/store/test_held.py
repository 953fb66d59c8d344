"""A store that another program holds, or that cannot be asked at all, seen over HTTP: questions are still answered, what
needs the store is a clear 503, and nothing that was stored is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from pir_serve.store.sqlite import SqliteStore
from tests.serve.brains import PROBLEM, QUESTION, curious
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
ANSWER = "Six pens at 4 each."


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """As a backup tool or a stuck process holds it."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


async def chat(client: httpx.AsyncClient, *said: str, **more: object) -> httpx.Response:
    """`said` by user and assistant in turns."""
    messages = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(said)]
    return await client.post("/v1/chat/completions", json={"model": "scripted", "messages": messages, **more})


def content(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


def assert_unavailable(reply: httpx.Response) -> None:
    assert reply.status_code == 503 and reply.json()["error"]["code"] == "store_unavailable"
    assert reply.headers["x-request-id"] and "x-should-retry" not in reply.headers, "it passes: clients may try again"


async def test_a_held_lock_stops_no_conversation_and_loses_no_question(make_desk: MakeDesk, tmp_path: Path) -> None:
    desk = make_desk(curious, kept=SqliteStore(tmp_path / "pir.db", busy_timeout_s=0.2))
    async with in_process(desk) as client:
        asked = await chat(client, PROBLEM)
        session = asked.headers["x-pir-session"]
        with write_lock(tmp_path / "pir.db"):
            for resumed, how in (
                (await chat(client, PROBLEM, QUESTION, "4"), "hash"),
                (await chat(client, "4", pir={"session": session}), "exact"),
            ):
                assert content(resumed) == ANSWER and resumed.headers["x-pir-resume"] == how
            unkept = await chat(client, "Again: " + PROBLEM)
            assert content(unkept) == QUESTION
            assert unkept.json()["choices"][0]["message"]["pir"]["stored"] is False
            background = {"model": "scripted", "input": PROBLEM, "background": True}
            assert_unavailable(await client.post("/v1/responses", json=background))
            assert_unavailable(await client.delete(f"/v1/pir/sessions/{session}"))
        assert content(await chat(client, PROBLEM, QUESTION, "4")) == ANSWER
        told = await chat(client, "Again: " + PROBLEM, QUESTION, "4")
        assert told.headers["x-pir-resume"] == "rebuilt", "and it is said"
        assert content(await chat(client, "Once more: " + PROBLEM)) == QUESTION
        assert desk.num_suspended == 3, "the first, the one that was rebuilt, the last; not the one under the lock"


async def test_what_names_a_session_is_a_503_while_the_store_cannot_be_asked(
    make_desk: MakeDesk, tmp_path: Path
) -> None:
    desk = make_desk(curious, kept=SqliteStore(tmp_path / "pir.db"))
    async with in_process(desk) as client:
        session = (await chat(client, PROBLEM)).headers["x-pir-session"]
        calls = len(desk.engine.requests)
        await desk.gateway.store.aclose()
        assert_unavailable(await chat(client, "4", pir={"session": session}))
        body = {"model": "scripted", "input": "4", "previous_response_id": "resp_" + "0" * 32}
        assert_unavailable(await client.post("/v1/responses", json=body))
        assert len(desk.engine.requests) == calls, "nobody is charged for an answer to half a conversation"
        assert (await client.get("/ready")).status_code == 503
        await desk.gateway.store.start()
        assert content(await chat(client, "4", pir={"session": session})) == ANSWER
