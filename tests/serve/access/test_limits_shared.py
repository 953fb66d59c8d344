"""Limits of a key over several gateways on one store: none of them grants what another has given away already."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from pir_serve.access import sharing
from pir_serve.access.keys import Caller, Limits, make_key
from pir_serve.access.limits import Limiter
from pir_serve.access.sharing import Sharing
from pir_serve.access.tally import Tally
from pir_serve.errors import RateLimited
from pir_serve.store.base import Store
from pir_serve.store.sqlite import SqliteStore
from tests.engines.servers import free_port
from tests.fakes import Line
from tests.serve.brains import PROBLEM, sure
from tests.serve.conftest import Desk, in_process
from tests.serve.store.test_held import write_lock

MakeDesk = Callable[..., Desk]
URL = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "EVERY_S", 0.02)


@pytest.fixture(params=["sqlite", "postgres"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Each call is another process' view of one store."""
    if request.param == "sqlite":
        return lambda: SqliteStore(tmp_path / "pir.db")
    postgres = request.getfixturevalue("postgres")
    schema = postgres.new_schema()
    return lambda: postgres.store(schema=schema)


class Client:
    """Of one gateway, with one key."""

    def __init__(self, desk: Desk, client: httpx.AsyncClient, key: str) -> None:
        self.desk = desk
        self._client = client
        self._headers = {"authorization": f"Bearer {key}"}

    async def chat(self, **more: Any) -> httpx.Response:
        return await self._client.post(URL, json={**CHAT, **more}, headers=self._headers)

    async def left(self, kind: str = "requests") -> int:
        """As the gateway sees it; looking is free."""
        reply = await self._client.get("/v1/models", headers=self._headers)
        return int(reply.headers[f"x-ratelimit-remaining-{kind}"])


class Several:
    """Gateways in one loop, each over its own connection to the store."""

    def __init__(self, make_desk: MakeDesk, new_store: Callable[[], Store], stack: AsyncExitStack) -> None:
        self._make_desk = make_desk
        self._new_store = new_store
        self.stack = stack
        self.key = ""

    async def gateway(self, **limits: Any) -> Client:
        """One more; the first makes the key."""
        desk = self._make_desk(slowly, kept=self._new_store())
        client = await self.stack.enter_async_context(in_process(desk))
        if not self.key:
            self.key, kept = make_key(limits=Limits(**limits))
            await desk.gateway.store.keys.put(kept)
            desk.gateway.auth._asked = float("-inf")
        return Client(desk, client, self.key)


def slowly(prompt: str) -> str | Line:
    return Line(str(sure(prompt)), first_delay_s=0.4) if "slowly" in prompt else sure(prompt)


SLOWLY = [{"role": "user", "content": "Think slowly."}]


@pytest.fixture
async def several(make_desk: MakeDesk, new_store: Callable[[], Store]) -> AsyncIterator[Several]:
    async with AsyncExitStack() as stack:
        yield Several(make_desk, new_store, stack)


def start(port: int, *paths: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.serve.scripted_gateway", str(port), *map(str, paths)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110  (the condition lies in other processes)
            await asyncio.sleep(0.02)


async def test_what_one_gateway_grants_is_missing_at_the_other(several: Several) -> None:
    a, b = await several.gateway(requests_per_minute=4), await several.gateway()
    assert (await b.left(), await a.left()) == (4, 4)
    for _ in range(3):
        assert (await a.chat()).status_code == 200
    await until(lambda: _equals(b.left(), 1))
    assert (await b.chat()).status_code == 200
    refused = await b.chat()
    assert refused.status_code == 429 and refused.json()["error"]["type"] == "requests"
    assert 10 <= int(refused.headers["retry-after"]) <= 15, "one of four a minute"
    await until(lambda: _equals(a.left(), 0))
    assert (await a.chat()).status_code == 429


async def test_tokens_are_shared_and_a_debt_too(several: Several) -> None:
    a, b = await several.gateway(tokens_per_minute=60), await several.gateway()
    assert await b.left("tokens") == 60
    used = 0
    while used <= 60:
        reply = await a.chat()
        assert reply.status_code == 200
        used += reply.json()["usage"]["total_tokens"]
    await until(lambda: _equals(b.left("tokens"), 0))
    refused = await b.chat()
    assert refused.status_code == 429
    assert abs(int(refused.headers["retry-after"]) - (used - 60 + 1)) <= 3, "a token a second, from a's debt"


async def test_what_both_granted_before_they_knew_is_paid_back(several: Several) -> None:
    a, b = await several.gateway(requests_per_minute=3), await several.gateway()
    for client in (a, b):
        client.desk.gateway._sharing._limiter = Limiter()  # as if neither had come to tell
    replies = [await client.chat() for client in (a, b) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 200, 429] * 2
    for client in (a, b):
        client.desk.gateway._sharing._limiter = client.desk.gateway.limiter
    await asyncio.sleep(0.5)
    for client in (a, b):
        assert 70 <= int((await client.chat()).headers["retry-after"]) <= 80, "three too many, and one more"


async def test_a_restart_is_no_way_to_a_new_minute(several: Several) -> None:
    async with AsyncExitStack() as first_life:
        several.stack, outer = first_life, several.stack
        before = await several.gateway(requests_per_minute=5)
        for _ in range(4):
            assert (await before.chat()).status_code == 200
    several.stack = outer
    after = await several.gateway()
    assert (await after.chat()).status_code == 200
    assert (await after.chat()).status_code == 429


async def test_replies_at_a_time_are_those_of_all_gateways(several: Several) -> None:
    a, b = await several.gateway(max_streams=1), await several.gateway()
    assert (await b.chat()).status_code == 200
    running = asyncio.create_task(a.chat(messages=SLOWLY))
    await asyncio.sleep(0.2)
    refused = await b.chat()
    assert refused.status_code == 429 and refused.json()["error"]["type"] == "streams"
    assert (await running).status_code == 200
    await until(lambda: _succeeds(b.chat()), 3)


async def test_a_gateway_that_is_killed_leaves_its_place_after_a_while(
    several: Several, tokenizer_dir: Path, tmp_path: Path, new_store: Callable[[], Store]
) -> None:
    if not isinstance(new_store(), SqliteStore):
        pytest.skip("the gateway that is killed serves from a file")
    here = await several.gateway(max_streams=1)
    jump_s = 0.0
    now = here.desk.gateway.limiter._now
    here.desk.gateway.limiter._now = lambda: now() + jump_s
    assert (await here.chat()).status_code == 200
    port = free_port()
    process = start(port, tokenizer_dir, tmp_path / "pir.db", tmp_path / "record")
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            await until(lambda: _answers(client), 60)
            headers = {"authorization": f"Bearer {several.key}"}
            going = asyncio.create_task(client.post(URL, json={**CHAT, "messages": SLOWLY}, headers=headers))
            await until(lambda: _is_refused(here.chat()), 20)
            process.kill()
            process.wait()
            with pytest.raises(httpx.TransportError):
                await going
        assert (await here.chat()).status_code == 429, "nobody knows yet that it is dead"
        jump_s = 6.0
        assert (await here.chat()).status_code == 200
    finally:
        process.kill()
        process.wait()


async def test_a_store_that_is_away_refuses_nobody(make_desk: MakeDesk, tmp_path: Path) -> None:
    def new_store() -> Store:
        return SqliteStore(tmp_path / "pir.db", busy_timeout_s=0.1)

    async with AsyncExitStack() as stack:
        several = Several(make_desk, new_store, stack)
        a, b = await several.gateway(requests_per_minute=10), await several.gateway()
        assert (await a.chat()).status_code == (await b.chat()).status_code == 200
        await until(lambda: _equals(a.left(), 8))
        await until(lambda: _equals(b.left(), 8))
        with write_lock(tmp_path / "pir.db"):
            for _ in range(3):
                assert (await a.chat()).status_code == 200
            await asyncio.sleep(0.3)
            assert await b.left() == 8, "each counts for itself"
        await until(lambda: _equals(b.left(), 5), 5)


async def test_wall_clocks_that_jump_or_differ_change_nothing(several: Several) -> None:
    a, b = await several.gateway(requests_per_minute=50), await several.gateway()
    assert await b.left() == 50
    wall = time.time
    used = 0
    for jump_s in (86_400.0, -86_400.0, 0.0):
        a.desk.gateway._sharing._now = lambda jump_s=jump_s: wall() + jump_s  # type: ignore[misc]
        for _ in range(4):
            assert (await a.chat()).status_code == 200
        used += 4
        await until(lambda used=used: _is_about(b.left(), 50 - used))  # type: ignore[misc]
        await asyncio.sleep(0.2)
        assert abs(await b.left() - (50 - used)) <= 2, "nothing is counted twice"


async def test_nothing_is_written_for_keys_without_limits_and_nonsense_is_passed_over(
    make_desk: MakeDesk, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        several = Several(make_desk, lambda: SqliteStore(tmp_path / "pir.db"), stack)
        a = await several.gateway()
        for _ in range(3):
            assert (await a.chat()).status_code == 200
        await asyncio.sleep(0.1)
        with closing(sqlite3.connect(tmp_path / "pir.db", isolation_level=None)) as db:
            assert db.execute("SELECT COUNT(*) FROM tallies").fetchone() == (0,)
            for k, body in enumerate(("", "{}", "[1]", '{"beat": 1, "spent": {"requests": 3}, "streams": {}}')):
                db.execute("INSERT INTO tallies VALUES (?, ?, ?)", (str(k), 4e9, body))
        several.key = ""
        b = await several.gateway(requests_per_minute=2)
        assert [(await b.chat()).status_code for _ in range(3)] == [200, 200, 429]


async def test_the_whole_of_three_gateways_stays_within_a_second_of_the_limit() -> None:
    """Five minutes of a client that always wants more, by a clock of their own, told each other once a second."""
    store = SqliteStore(":memory:")
    await store.start()
    now = 0.0
    limiters = [Limiter(lambda: now) for _ in range(3)]
    shares = [Sharing(limiter, store.tallies, now=lambda: now) for limiter in limiters]
    caller = Caller(key="k", limits=Limits(requests_per_minute=60))
    num_granted = 0
    for tick in range(300 * 20):
        now = tick / 20
        for k, limiter in enumerate(limiters):
            try:
                limiter.request(caller)
                num_granted += 1
            except RateLimited:
                pass
            if tick % 20 == 6 * k:
                await shares[k].exchange()
    await store.aclose()
    exactly = 60 + 300
    a_second_of_the_others = 2 * 20
    assert exactly - 5 <= num_granted <= exactly + a_second_of_the_others


async def test_tallies_are_replaced_kept_apart_and_dropped_when_they_are_old(new_store: Callable[[], Store]) -> None:
    store = new_store()
    await store.start()
    for beat in (1, 2):
        await store.tallies.put(Tally("a", beat, 1000.0, {}, {"k": beat}), oldest=0.0)
    await store.tallies.put(Tally("b", 1, 2000.0), oldest=0.0)
    assert await store.tallies.others("b") == [Tally("a", 2, 1000.0, {}, {"k": 2})]
    await store.tallies.put(Tally("b", 2, 2000.0), oldest=1500.0)
    assert await store.tallies.others("b") == [] and len(await store.tallies.others("c")) == 1
    await store.aclose()


async def _equals(value: Awaitable[int], wanted: int) -> bool:
    return await value == wanted


async def _is_about(value: Awaitable[int], wanted: int) -> bool:
    return abs(await value - wanted) <= 2


async def _succeeds(reply: Awaitable[httpx.Response]) -> bool:
    return (await reply).status_code == 200


async def _is_refused(reply: Awaitable[httpx.Response]) -> bool:
    return (await reply).status_code == 429


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/ready")).status_code == 200
    except httpx.TransportError:
        return False
