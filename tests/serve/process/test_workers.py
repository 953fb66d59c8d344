"""Several workers behind one port: a conversation goes from one to another, and each of them may die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.engines.fake_server import Script
from tests.engines.servers import free_port
from tests.serve.brains import PROBLEM, QUESTION
from tests.serve.served import SECRET, settle
from tests.serve.thinking_server import ThinkingServer, thinking

ROOT = Path(__file__).parents[3]
ANSWERED = [
    {"role": "user", "content": PROBLEM},
    {"role": "assistant", "content": QUESTION},
    {"role": "user", "content": "4 dollars"},
]


@dataclass
class Gateway:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def workers(self) -> list[int]:
        children = psutil.Process(self.process.pid).children()
        return sorted(child.pid for child in children if "spawn_main" in " ".join(child.cmdline()))

    async def call(self, method: str, path: str, **body: object) -> httpx.Response:
        """On a connection of its own, which any worker may take."""
        async with httpx.AsyncClient(base_url=self.url, timeout=20) as client:
            return await client.request(method, path, json=body or None)


def start(file: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        command = [sys.executable, "-m", "pir_serve.cli", "serve", "--config", str(file)]
        return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)


@contextlib.asynccontextmanager
async def workers(engine: str, tokenizer: Path, folder: Path, *, num: int = 2) -> AsyncIterator[Gateway]:
    port = free_port()
    file = folder / "pir.toml"
    file.write_text(
        f"port = {port}\nworkers = {num}\nstore = 'pir.db'\nsecret = '{SECRET}'\nshutdown_s = 5\n[models.thinker]\n"
        f"engine = 'vllm'\nengine_url = '{engine}'\nmodel = 'tiny'\nmode = 'trained'\ntokenizer = '{tokenizer}'\n"
    )
    log = folder / "log"
    process = start(file, log)
    gateway = Gateway(f"http://127.0.0.1:{port}", process, log)
    try:
        yield gateway
    finally:
        process.terminate()
        for _ in range(200):
            if process.poll() is not None:
                break
            await asyncio.sleep(0.05)
        process.kill()
        process.wait()


async def ready(gateway: Gateway) -> None:
    async with asyncio.timeout(60):
        while True:
            assert gateway.process.poll() is None, gateway.log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if (await gateway.call("GET", "/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.05)


@pytest.fixture
async def engine(tokenizer_dir: Path) -> AsyncIterator[ThinkingServer]:
    async with thinking(tokenizer_dir) as (server,):
        yield server


async def test_any_worker_goes_on_with_what_another_began(
    engine: ThinkingServer, tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with workers(engine.url, tokenizer_dir, tmp_path) as gateway:
        await ready(gateway)
        await settle(lambda: len(gateway.workers) == 2)
        asked = await gateway.call("POST", "/v1/chat/completions", model="thinker", messages=ANSWERED[:1])
        assert asked.json()["choices"][0]["message"]["content"] == QUESTION
        for _ in range(2):  # each worker alone, one after the other
            for worker in gateway.workers:
                os.kill(worker, signal.SIGSTOP)
                replies = [
                    await gateway.call("POST", "/v1/chat/completions", model="thinker", messages=ANSWERED)
                    for _ in range(2)
                ]
                os.kill(worker, signal.SIGCONT)
                for reply in replies:
                    assert reply.headers["x-pir-resume"] == "hash"
                    assert reply.json()["choices"][0]["message"]["content"] == "Six pens at 4 dollars each."
        pages = {(await gateway.call("GET", "/metrics")).text for _ in range(6)}
        assert all('pir_resumes_total{how="hash",model="thinker"} 8.0' in page for page in pages), "summed over workers"
        engine.script = Script(queue_s=30)
        made = (await gateway.call("POST", "/v1/responses", model="thinker", input=PROBLEM, background=True)).json()
        await settle(lambda: engine.num_running == 1)
        seen = [(await gateway.call("GET", f"/v1/responses/{made['id']}")).json()["status"] for _ in range(8)]
        assert set(seen) <= {"queued", "in_progress"}
        await gateway.call("POST", f"/v1/responses/{made['id']}/cancel")
        await settle(lambda: engine.num_running == 0)  # whichever worker was asked, and though nothing came
        dead, left = gateway.workers
        os.kill(dead, signal.SIGKILL)
        engine.script = Script()
        for _ in range(4):
            reply = await gateway.call("POST", "/v1/chat/completions", model="thinker", messages=ANSWERED)
            assert reply.headers["x-pir-resume"] == "hash"
        await settle(lambda: len(gateway.workers) == 2 and dead not in gateway.workers, within_s=10)
        assert left in gateway.workers
        os.kill(gateway.process.pid, signal.SIGINT)
        assert await asyncio.to_thread(gateway.process.wait, 15) == 0
    said = gateway.log.read_text()
    assert said.count("PIR gateway:") == 1 and "Traceback" not in said


async def test_a_parent_that_is_killed_leaves_nobody_behind(
    engine: ThinkingServer, tokenizer_dir: Path, tmp_path: Path
) -> None:
    async with workers(engine.url, tokenizer_dir, tmp_path) as gateway:
        await ready(gateway)
        await settle(lambda: len(gateway.workers) == 2)
        left = [psutil.Process(worker) for worker in gateway.workers]
        gateway.process.kill()
        gateway.process.wait()
        await settle(lambda: not any(worker.is_running() for worker in left), within_s=10)


async def test_workers_that_cannot_start_end_the_whole_with_the_reason(tokenizer_dir: Path, tmp_path: Path) -> None:
    async with workers("http://127.0.0.1:9", tokenizer_dir, tmp_path) as gateway:
        assert await asyncio.to_thread(gateway.process.wait, 60) == 2
    said = gateway.log.read_text()
    assert "vllm http://127.0.0.1:9 is not reachable" in said and "Traceback" not in said
