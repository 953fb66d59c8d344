"""What each model's table says of asking and sampling, as clients see it: it holds where a request says nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pir_serve.config import load
from tests.serve.brains import PROBLEM, QUESTION, twice_curious
from tests.serve.served import SECRET, Served, served_as
from tests.serve.thinking_server import ThinkingServer, thinking

MODELS = """
[models.plain]
[models.silent]
ask = "never"
[models.once]
ask = 1
temperature = 0.25
top_p = 0.5
top_k = 7
max_tokens = 90
[models.capped]
max_asks = 0
"""


@pytest.fixture
async def engine(tokenizer_dir: Path) -> AsyncIterator[ThinkingServer]:
    async with thinking(tokenizer_dir, brain=twice_curious) as (server,):
        yield server


@pytest.fixture
async def gateway(engine: ThinkingServer, tokenizer_dir: Path, tmp_path: Path) -> AsyncIterator[Served]:
    table = f"engine_url = '{engine.url}'\nmodel = 'tiny'\ntokenizer = '{tokenizer_dir}'\n"
    top = f"port = 0\nstore = 'pir.db'\nsecret = '{SECRET}'\nshutdown_s = 1\nengine = 'vllm'\nmode = 'trained'\n"
    file = tmp_path / "pir.toml"
    file.write_text(
        top + "".join(f"{line}\n{table}" if line.startswith("[") else f"{line}\n" for line in MODELS.splitlines())
    )
    async with served_as(load({}, config=file)) as gateway:
        engine.bodies.clear()
        yield gateway


async def content(gateway: Served, model: str, *said: str, **more: Any) -> str:
    messages = [{"role": ("user", "assistant")[k % 2], "content": text} for k, text in enumerate((PROBLEM, *said))]
    reply = await gateway.client.post("/v1/chat/completions", json={"model": model, "messages": messages, **more})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


async def test_each_model_asks_as_its_table_says(gateway: Served) -> None:
    assert await content(gateway, "plain") == QUESTION
    assert await content(gateway, "plain", QUESTION, "4") == "Which currency?"
    assert await content(gateway, "once") == QUESTION
    assert (await content(gateway, "once", QUESTION, "4")).startswith("Six pens at 4 No user is available")
    assert (await content(gateway, "silent")).startswith("Six pens at No user is available")
    listed = (await gateway.client.get("/v1/models")).json()["data"]
    told = {model["id"]: model["pir"]["ask"] for model in listed if not model["id"].endswith(":no-ask")}
    assert told == {"plain": "auto", "silent": "never", "once": "max=1", "capped": "auto"}
    assert all(model["pir"]["ask"] == "never" for model in listed if model["id"].endswith(":no-ask"))


async def test_a_request_goes_before_its_models_table(gateway: Served, engine: ThinkingServer) -> None:
    assert await content(gateway, "silent", pir={"ask": "auto"}) == QUESTION
    assert await content(gateway, "silent", QUESTION, "4") == "Which currency?", "as the reasoning began"
    assert (await content(gateway, "plain:no-ask")).startswith("Six pens at No user")
    assert (await content(gateway, "once", pir={"ask": "never"})).startswith("Six pens at No user")
    engine.bodies.clear()
    await content(gateway, "once", temperature=1.5)
    assert (engine.bodies[0]["temperature"], engine.bodies[0]["top_p"]) == (1.5, 0.5)


async def test_each_model_samples_as_its_table_says(gateway: Served, engine: ThinkingServer) -> None:
    await content(gateway, "once")
    (body,) = engine.bodies
    assert {key: body[key] for key in ("temperature", "top_p", "top_k")} == {
        "temperature": 0.25, "top_p": 0.5, "top_k": 7,
    }  # fmt: skip
    assert body["max_tokens"] <= 90
    engine.bodies.clear()
    await content(gateway, "plain")
    assert engine.bodies[0]["max_tokens"] > 90 and engine.bodies[0]["temperature"] != 0.25
    reply = (await gateway.client.post("/v1/responses", json={"model": "once", "input": PROBLEM})).json()
    assert (reply["temperature"], reply["top_p"]) == (0.25, 0.5)


async def test_a_models_own_guard_ends_what_asks_without_end(gateway: Served) -> None:
    body = {"model": "capped", "messages": [{"role": "user", "content": PROBLEM}]}
    message = (await gateway.client.post("/v1/chat/completions", json=body)).json()["choices"][0]["message"]
    assert message["pir"]["status"] == "incomplete" and message["pir"]["detail"] == "max_asks"
