"""`pir.node` of a reply: under this id is what is kept of it, on every surface, once it is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.serve.brains import PROBLEM, curious
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
MESSAGES = [{"role": "user", "content": PROBLEM}]
PLACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "scripted", "messages": MESSAGES}),
    "responses": ("/v1/responses", {"model": "scripted", "input": PROBLEM}),
}


async def pir_of(client: httpx.AsyncClient, path: str, body: dict[str, Any], *, stream: bool = False) -> dict[str, Any]:
    """The `pir` object of a reply, wherever the surface has it."""
    reply = await client.post(path, json=body | {"stream": stream})
    assert reply.status_code == 200, reply.text
    lines = reply.text.splitlines() if stream else [f"data: {reply.text}"]
    for line in lines:
        data = json.loads(line.removeprefix("data: ")) if line.startswith("data: {") else {}
        for choice in data.get("choices", ()):
            if pir := choice.get("delta", choice.get("message")).get("pir"):
                return dict(pir)
        if pir := data.get("response", data).get("pir"):
            return dict(pir)
    raise AssertionError(f"no pir object: {reply.text}")


async def kept(client: httpx.AsyncClient, node: str) -> dict[str, Any]:
    """What the gateway has under the id, as soon as it has it."""
    for _ in range(250):
        reply = await client.get(f"/v1/pir/sessions/{node}")
        if reply.status_code != 404:
            break
        await asyncio.sleep(0.02)
    assert reply.status_code == 200, reply.text
    (branch,) = reply.json()["branches"]
    return dict(branch)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", PLACES)
async def test_a_reply_names_what_is_kept_of_it(surface: str, stream: bool, make_desk: MakeDesk) -> None:
    path, body = PLACES[surface]
    async with in_process(make_desk(curious)) as client:
        asked = await pir_of(client, path, body, stream=stream)
        assert asked["node"] == asked["session"]
        assert (await kept(client, asked["node"]))["status"] == "awaiting_user"
        answers = [
            await pir_of(client, f"/v1/pir/sessions/{asked['node']}/resume", {"response": price}, stream=stream)
            for price in ("4 dollars", "5 dollars")
        ]
        never = await pir_of(client, path, body | {"pir": {"ask": "never"}}, stream=stream)
        assert len({pir["node"] for pir in (asked, *answers, never)}) == 4
        for pir, said in zip(answers, ("4", "5"), strict=True):
            node = await kept(client, pir["node"])
            assert (node["id"], node["parent"], node["status"]) == (pir["node"], asked["node"], "completed")
            assert node["answer"] == f"Six pens at {said} dollars each."
            assert "session" not in pir
        assert (await kept(client, never["node"]))["parent"] is None


async def test_each_choice_of_a_reply_is_kept_by_itself(make_desk: MakeDesk) -> None:
    async with in_process(make_desk(curious)) as client:
        path, body = PLACES["chat"]
        choices = (await client.post(path, json=body | {"n": 3})).json()["choices"]
        nodes = {choice["message"]["pir"]["node"] for choice in choices}
        assert len(nodes) == 3
        for node in nodes:
            assert (await kept(client, node))["status"] == "completed"


@pytest.mark.parametrize("surface", PLACES)
async def test_what_is_not_kept_has_no_id(surface: str, make_desk: MakeDesk) -> None:
    path, body = PLACES[surface]
    async with in_process(make_desk(curious, keep_s=0)) as client:
        assert "node" in await pir_of(client, path, body)  # a question waits, whatever becomes of what has ended
        assert "node" not in await pir_of(client, path, body | {"pir": {"ask": "never"}})
        if surface == "responses":
            assert "node" not in await pir_of(client, path, body | {"store": False})


async def test_a_background_response_names_it_too(make_desk: MakeDesk) -> None:
    path, body = PLACES["responses"]
    async with in_process(make_desk(curious)) as client:
        begun = (await client.post(path, json=body | {"background": True})).json()
        for _ in range(250):
            if begun["status"] == "completed":
                break
            await asyncio.sleep(0.02)
            begun = (await client.get(f"{path}/{begun['id']}")).json()
        assert (await kept(client, begun["pir"]["node"]))["question"] == begun["pir"]["question"]
