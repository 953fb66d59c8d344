"""What is in memory after every 15 of 60 conversations, by type, as JSON; run as a module with a tokenizer's folder."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from pir_serve.store.sqlite import SqliteStore
from tests.serve.brains import PROBLEM, QUESTION, curious
from tests.serve.chat.test_tools import URL as CHAT
from tests.serve.conftest import Desk, desk_of, in_process
from tests.serve.responses.wire import URL

BODY: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}


async def counts(folder: Path, tokenizer: Path) -> list[Counter[str]]:
    desk = desk_of(folder, curious, tokenizer=tokenizer, kept=SqliteStore(":memory:", max_per_tenant=20))
    found = []
    async with in_process(desk) as client:
        for k in range(60):
            await _play(client, k)
            desk.engine.requests.clear()  # what the scripted engine remembers
            desk.engine._known.clear()
            if k % 15 == 14:
                await _until_quiet(desk)
                found.append(_objects())
    return found


async def _play(client: httpx.AsyncClient, k: int) -> None:
    """A conversation of all that a gateway keeps something for, unlike all others."""
    asking = {**BODY, "messages": [{"role": "user", "content": f"{k}. {PROBLEM}"}]}
    reply = await client.post(CHAT, json={**asking, "stream": k % 2 == 0})
    assert reply.status_code == 200
    turns = [*asking["messages"], {"role": "assistant", "content": QUESTION}, {"role": "user", "content": f"{k}"}]
    assert (await client.post(CHAT, json={**asking, "messages": turns})).headers["x-pir-resume"] == "hash"
    made = (await client.post(URL, json={"model": "scripted", "input": f"{k}. {PROBLEM}"})).json()
    assert (await client.get(f"{URL}/{made['id']}")).status_code == 200
    assert (await client.post(CHAT, json={**asking, "model": f"no-{k}"})).status_code == 404
    assert (await client.get(f"/v1/pir/sessions/pir_{k}")).status_code == 404


async def _until_quiet(desk: Desk) -> None:
    working = desk.gateway._working_off
    if working is not None:
        await working


def _objects() -> Counter[str]:
    """By type: ours, and what leaks are made of. What libraries cache, within bounds, is theirs."""
    gc.collect()
    plain = ("dict", "list", "Task", "Future", "coroutine", "async_generator", "frame")
    types = (type(each) for each in gc.get_objects())
    ours = {t for t in set(types) if t.__name__ in plain or str(t.__module__).startswith("pir_serve")}
    return Counter(type(each).__qualname__ for each in gc.get_objects() if type(each) in ours)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(counts(Path(folder), Path(sys.argv[1])))))
