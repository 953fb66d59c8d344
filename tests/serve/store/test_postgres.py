"""Gateways that share a PostgreSQL database, and what becomes of them when it is restarted, stopped or gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pir_serve.errors import ConfigError, StoreError
from pir_serve.settings import Settings
from pir_serve.store.postgres import PostgresStore
from pir_serve.store.responses import ResponseStatus
from pir_serve.store.sealed import Sealer
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious, twice_curious
from tests.serve.conftest import Desk, in_process
from tests.serve.postgres import PostgresServer
from tests.serve.store.samples import make_suspension
from tests.serve.store.test_responses import events, make_record

MakeDesk = Callable[..., Desk]
CHAT = "/v1/chat/completions"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


async def post(client: httpx.AsyncClient, *messages: dict[str, str], **extra: Any) -> httpx.Response:
    return await client.post(CHAT, json={"model": "scripted", "messages": list(messages), **extra})


def said(reply: httpx.Response) -> str:
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


def two_gateways(make_desk: MakeDesk, postgres: PostgresServer, script: Any, **options: Any) -> tuple[Desk, Desk]:
    schema = postgres.new_schema()
    first, second = (make_desk(script, kept=postgres.store(schema=schema, **options)) for _ in range(2))
    return first, second


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_bounced_between_two_gateways_never_notices(
    make_desk: MakeDesk, postgres: PostgresServer, stream: bool
) -> None:
    one, two = two_gateways(make_desk, postgres, twice_curious)
    async with in_process(one) as here, in_process(two) as there:
        turns = [user(PROBLEM)]
        assert said(await post(here, *turns)) == QUESTION
        turns += [assistant(QUESTION), user("4")]
        second = await post(there, *turns)  # at once, and by its text alone
        assert said(second) == "Which currency?" and second.headers["x-pir-resume"] == "hash"
        asked = two.engine.requests[0].prompt_ids
        assert asked[: len(one.engine.requests[0].prompt_ids)] == one.engine.requests[0].prompt_ids
        turns += [assistant("Which currency?"), user("dollars")]
        if stream:
            reply = await post(here, *turns, stream=True)
            assert "Six pens" in reply.text and reply.text.endswith("data: [DONE]\n\n")
        else:
            reply = await post(here, *turns)
            assert said(reply) == "Six pens at 4 dollars."
        assert reply.headers["x-pir-resume"] == "hash"
        assert one.engine.requests[-1].prompt_ids[: len(asked)] == asked


async def test_responses_are_chained_and_followed_across_gateways(
    make_desk: MakeDesk, postgres: PostgresServer
) -> None:
    def slowly(prompt: str) -> Line:
        return Line(curious(prompt), delay_s=0.05)

    one, two = two_gateways(make_desk, postgres, slowly)
    async with in_process(one) as here, in_process(two) as there:
        body = {"model": "scripted", "input": PROBLEM, "background": True}
        first = (await here.post("/v1/responses", json=body)).json()
        followed = await there.get(f"/v1/responses/{first['id']}?stream=true")
        assert "response.completed" in followed.text and followed.text.endswith("data: [DONE]\n\n")
        body = {"model": "scripted", "input": "4", "previous_response_id": first["id"]}
        second = (await there.post("/v1/responses", json=body)).json()
        assert second["output"][-1]["content"][0]["text"] == "Six pens at 4 each."
        assert (await here.get(f"/v1/responses/{second['id']}")).json()["status"] == "completed"
        body = {"model": "scripted", "input": PROBLEM, "background": True}
        third = (await here.post("/v1/responses", json=body)).json()
        assert (await there.post(f"/v1/responses/{third['id']}/cancel")).json()["status"] == "cancelled"


async def test_a_restart_of_the_database_is_no_error(make_desk: MakeDesk, postgres: PostgresServer) -> None:
    desk = make_desk(curious, kept=postgres.store())
    async with in_process(desk) as client:
        assert said(await post(client, user(PROBLEM))) == QUESTION
        postgres.stop()
        postgres.start()
        resumed = await post(client, user(PROBLEM), assistant(QUESTION), user("4"))
        assert said(resumed) == "Six pens at 4 each." and resumed.headers["x-pir-resume"] == "hash"


async def test_chats_are_served_while_the_database_is_stopped_and_resumed_when_it_goes_on(
    make_desk: MakeDesk, postgres: PostgresServer
) -> None:
    desk = make_desk(curious, kept=postgres.store(timeout_s=0.5))
    async with in_process(desk) as client:
        assert said(await post(client, user(PROBLEM))) == QUESTION
        stopped = postgres.everyone()
        for process in stopped:
            process.suspend()
        try:
            began = time.monotonic()
            reply = await post(client, user("Another: " + PROBLEM))
            assert said(reply) == QUESTION and reply.json()["choices"][0]["message"]["pir"]["stored"] is False
            rebuilt = await post(client, user(PROBLEM), assistant(QUESTION), user("4"))
            assert rebuilt.status_code == 200 and rebuilt.headers["x-pir-resume"] == "rebuilt"
            assert time.monotonic() - began < 10
            assert (await client.get("/ready")).status_code == 503
            assert "pir_store_up 0.0" in (await client.get("/metrics")).text
        finally:
            for process in stopped:
                process.resume()
        for _ in range(50):
            await asyncio.sleep(0.1)
            if (await client.get("/ready")).status_code == 200:
                break
        resumed = await post(client, user(PROBLEM), assistant(QUESTION), user("4"))
        assert resumed.headers["x-pir-resume"] == "hash"


async def test_what_a_dead_gateway_was_making_fails_and_what_a_live_one_makes_does_not(
    postgres: PostgresServer,
) -> None:
    schema = postgres.new_schema()
    dying, living, third = (postgres.store(schema=schema) for _ in range(3))
    for store in (dying, living):
        await store.start()
    for store, name in ((dying, "resp_lost"), (living, "resp_runs")):
        await store.responses.put(make_record(name, "in_progress", expires=4e9), events=events(0), first=0)
    await third.start()
    assert (await third.responses.get("t", "resp_lost")).status is ResponseStatus.IN_PROGRESS
    await dying.aclose()
    for _ in range(100):  # the server lets a lock go when it has noticed that its holder hung up
        await third.expire(0)
        if (await third.responses.get("t", "resp_lost")).status is ResponseStatus.FAILED:
            break
        await asyncio.sleep(0.05)
    assert (await third.responses.get("t", "resp_lost")).status is ResponseStatus.FAILED
    assert (await third.responses.get("t", "resp_runs")).status is ResponseStatus.IN_PROGRESS
    assert await living.responses.append("t", "resp_runs", events(1), first=1)
    for store in (living, third):
        await store.aclose()


async def test_many_writers_keep_a_tenants_cap_without_getting_in_each_others_way(postgres: PostgresServer) -> None:
    schema = postgres.new_schema()
    stores = [postgres.store(schema=schema, max_per_tenant=10) for _ in range(3)]
    await asyncio.gather(*(store.start() for store in stores))  # which also create the tables at once
    for again in range(5):  # each writer counts, waits for the others, and must not drop what they have dropped
        many = (make_suspension(f"pir_{again}_{k}_{n}", created=4e9) for n in range(40) for k in range(3))
        await asyncio.gather(*(store.put(one) for store, one in zip(stores * 40, many, strict=True)))
        assert 10 <= await stores[0].count("t") <= 10 + len(stores) * 4
    await stores[0].put(make_suspension("pir_last", created=4e9))
    assert await stores[0].count("t") == 10
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize(("lock", "table"), [("t", "nodes"), ("responses of t", "responses")])
async def test_a_writer_that_had_to_wait_drops_only_what_is_still_too_much(
    postgres: PostgresServer, lock: str, table: str
) -> None:
    import psycopg

    schema = postgres.new_schema()
    store = postgres.store(schema=schema, max_per_tenant=10)
    await store.start()

    async def put(name: str) -> None:
        if table == "nodes":
            await store.put(make_suspension(name, created=4e9))
        else:
            assert await store.responses.put(make_record(name, expires=4e9))

    for k in range(10):
        await put(f"one_{k}")
    with psycopg.connect(postgres.address) as other:  # another gateway, which trims the same tenant
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (lock,))
        putting = asyncio.create_task(put("one_new"))
        waiting = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        for _ in range(500):
            if (other.execute(waiting).fetchone() or (0,))[0]:
                break
            await asyncio.sleep(0.02)
        other.execute("SELECT set_config('search_path', %s, true)", (schema,))
        other.execute(f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} ORDER BY seq LIMIT 5)")
    await putting
    stats = await store.stats("t")
    assert (await store.count("t") if table == "nodes" else sum(stats.responses.values())) == 6
    await store.aclose()


async def test_names_that_postgresql_cannot_hold_are_not_found_rather_than_an_error(
    make_desk: MakeDesk, postgres: PostgresServer
) -> None:
    async with in_process(make_desk(curious, kept=postgres.store())) as client:
        assert (await client.get("/v1/responses/resp_%00")).status_code == 404
        assert (await client.get("/v1/pir/sessions/%00%25s%3F")).status_code == 404
        missing = await post(client, user("4"), pir={"session": "pir_\0"})
        assert missing.json()["error"]["code"] == "previous_response_not_found"
        odd = await post(client, user(PROBLEM + "\0"), pir={"conversation": "a\0b"})
        assert said(odd) == QUESTION and odd.json()["choices"][0]["message"]["pir"].get("stored") is None
        resumed = await post(client, user(PROBLEM + "\0"), assistant(QUESTION), user("4"), pir={"conversation": "a\0b"})
        assert resumed.headers["x-pir-resume"] == "hash"


async def test_content_is_sealed_and_sealed_anew(postgres: PostgresServer) -> None:
    schema, suspension = postgres.new_schema(), make_suspension(created=4e9)
    for ring in ([b"1" * 32], [b"2" * 32, b"1" * 32], [b"2" * 32]):
        store = postgres.store(schema=schema, sealer=Sealer(ring))
        await store.start()
        await store.put(suspension)
        assert await store.get("t", "pir_1") == suspension
        await store.reseal()
        await store.aclose()
    blind = postgres.store(schema=schema)
    await blind.start()
    with pytest.raises(StoreError, match="encrypted"):
        await blind.get("t", "pir_1")
    await blind.aclose()


async def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    store = PostgresStore("postgresql://pir:hunter22@127.0.0.1:9/none", timeout_s=1)
    with pytest.raises(StoreError, match="cannot open the store") as failed:
        await store.start()
    assert "hunter22" not in str(failed.value)
    with pytest.raises(ConfigError, match="postgresql://user") as wrong:
        PostgresStore("not an address: hunter22")
    assert "hunter22" not in str(wrong.value)


def test_a_database_wants_a_secret_that_all_share() -> None:
    with pytest.raises(ConfigError, match="PIR_SECRET"):
        Settings(database="postgresql://localhost/pir")
