"""Two real vLLM servers as one engine: one is killed (-9) while it streams, and the user gets the same answer, token for
token. VLLM_PYTHON names the interpreter of vLLM's venv (make test-engines)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from pir_serve.config import Config
from pir_serve.engines import pool
from pir_serve.engines.member import State
from pir_serve.settings import BUILTIN_MODEL, Settings
from tests.engines.servers import RealServer, serving
from tests.serve.served import SECRET, Served, served_as, settle

pytestmark = [pytest.mark.engines, pytest.mark.timeout(3600)]

NEEDED_BYTES = 5 << 30
"""Available for both: some 2 GB each, and the gateway. vLLM itself refuses to start below its share of the machine's."""
VLLM_SHARE = 0.3
"""`--gpu-memory-utilization` in `servers.py`, which on a CPU is a share of all memory that must be available."""
_SAMPLE = (BUILTIN_MODEL / "examples.jsonl").read_text().splitlines()[0]


class Pair:
    """Two servers that can be killed and started anew where they were."""

    def __init__(self, python: str, folder: Path, stack: ExitStack) -> None:
        self._python = python
        self._folder = folder
        self._stack = stack
        self.servers = [self._start(k, 0) for k in range(2)]  # one after the other: each looks what memory is left

    def _start(self, k: int, port: int) -> RealServer:
        log = self._folder / f"vllm-{k}.log"
        return self._stack.enter_context(serving("vllm", self._python, BUILTIN_MODEL, log, port=port))

    def revive(self, server: RealServer) -> RealServer:
        k = self.servers.index(server)
        self.servers[k] = self._start(k, int(server.url.rpartition(":")[2]))
        return self.servers[k]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    python = os.environ.get("VLLM_PYTHON")
    if not python:
        pytest.skip("no vllm: set VLLM_PYTHON to its venv's python")
    memory = psutil.virtual_memory()
    needed = max(NEEDED_BYTES, VLLM_SHARE * memory.total + NEEDED_BYTES / 2)
    if memory.available < needed:
        pytest.skip(f"two servers need {needed / 2**30:.0f} GiB; {memory.available / 2**30:.0f} GiB are available")
    folder = Path(os.environ.get("ENGINE_TEST_LOGS") or tmp_path_factory.mktemp("logs"))
    with ExitStack() as stack:
        yield Pair(python, folder, stack)


@pytest.fixture
async def gateway(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(pool, "PROBE_S", 0.5)  # else half the test is waiting for a look at a server that is back
    settings = Settings(
        port=0, engine="vllm", engine_url=tuple(server.url for server in pair.servers), model="tiny",
        model_name="thinker", tokenizer=BUILTIN_MODEL, store=tmp_path / "pir.db", secret=SECRET, shutdown_s=1.0,
    )  # fmt: skip
    async with served_as(Config(settings, (settings,))) as gateway:
        yield gateway


class Told:
    """What a client of a stream has."""

    def __init__(self) -> None:
        self.reasoning = self.content = self.finish = ""


async def streamed(gateway: Served, *said: str, after_first: Callable[[], None] = lambda: None) -> Told:
    """The reply to what user and assistant said in turns; `after_first` is called when the first text has come."""
    messages = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate(said)]
    body = {"model": "thinker", "messages": messages, "stream": True, "temperature": 0}
    told, has_begun = Told(), False
    async with gateway.client.stream("POST", "/v1/chat/completions", json=body, timeout=300) as reply:
        assert reply.status_code == 200, await reply.aread()
        async for line in reply.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            assert "error" not in chunk, chunk
            for choice in chunk["choices"]:
                told.reasoning += choice["delta"].get("reasoning_content") or ""
                told.content += choice["delta"].get("content") or ""
                told.finish = choice["finish_reason"] or told.finish
            if told.reasoning and not has_begun:
                has_begun = True
                after_first()
    return told


async def newest_ids(gateway: Served, num_nodes: int) -> tuple[int, ...]:
    """Token ids of the trajectory stored last: prompt, reasoning, responses, all. What has ended without a question is
    stored after the reply has left."""
    store = gateway.gateway.store
    async with asyncio.timeout(30):
        while await store.count() < num_nodes:  # noqa: ASYNC110  (only the store knows)
            await asyncio.sleep(0.05)
    return tuple((await store.list("local", limit=1)).items[0].trajectory.token_ids)


def num_served(server: RealServer) -> float:
    """Generations that a server has finished, as it counts them."""
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as reply:
        page = reply.read().decode()
    return sum(float(n) for n in re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", page, re.MULTILINE))


def server_of(pair: Pair, gateway: Served) -> RealServer:
    """The one that has a leg just now."""
    (member,) = [member for member in gateway.pool.members if member.num_legs]
    return next(server for server in pair.servers if server.url in member.name)


async def failed_legs(gateway: Served) -> float:
    page = (await gateway.client.get("/metrics")).text
    return sum(float(n) for n in re.findall(r'^pir_legs_total\{end="failed".*\} (\S+)$', page, re.MULTILINE))


async def test_a_server_killed_while_it_streams_costs_no_token_and_gets_its_sessions_back(
    pair: Pair, gateway: Served
) -> None:
    sample = json.loads(_SAMPLE)
    problem, response = sample["problem"], sample["missing"]
    asked = await streamed(gateway, problem)
    assert asked.content.endswith("?"), "the model asks for what is missing"
    asked_ids = await newest_ids(gateway, 1)
    answered = await streamed(gateway, problem, asked.content, response)
    answered_ids = await newest_ids(gateway, 2)
    assert answered_ids[: len(asked_ids)] == asked_ids and len(answered_ids) > len(asked_ids)

    killed: list[RealServer] = []

    def kill() -> None:
        killed.append(server_of(pair, gateway))
        killed[0].kill()

    again = await streamed(gateway, problem, after_first=kill)
    assert await failed_legs(gateway) >= 1, "it was killed before it had finished"
    assert (again.reasoning, again.content, again.finish) == (asked.reasoning, asked.content, asked.finish)
    assert await newest_ids(gateway, 3) == asked_ids, "token for token"

    (dead,) = killed
    other = next(server for server in pair.servers if server is not dead)
    before = num_served(other)
    resumed = await streamed(gateway, problem, again.content, response)
    assert (resumed.reasoning, resumed.content) == (answered.reasoning, answered.content)
    assert await newest_ids(gateway, 4) == answered_ids
    assert num_served(other) == before + 1

    revived = await asyncio.to_thread(pair.revive, dead)
    await settle(lambda: all(member.state is State.UP for member in gateway.pool.members), 60)
    on_revived, on_other = num_served(revived), num_served(other)
    back = await streamed(gateway, problem, again.content, response)
    assert (back.reasoning, back.content) == (answered.reasoning, answered.content)
    assert await newest_ids(gateway, 5) == answered_ids
    assert (num_served(revived), num_served(other)) == (on_revived + 1, on_other), "its session is its own again"
