"""A config file that changes under a running gateway: all of it is taken over or nothing, and nobody's stream is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pir_serve.api import reload
from pir_serve.api.reload import Reloader
from pir_serve.config import load
from tests.engines.fake_server import Script
from tests.serve.brains import QUESTION
from tests.serve.served import SECRET, Served, served_as, settle
from tests.serve.thinking_server import ThinkingServer, thinking


@dataclass
class Desk:
    file: Path
    tokenizer: Path
    engines: list[ThinkingServer]
    gateway: Served
    reloader: Reloader

    async def models(self) -> list[str]:
        listed = (await self.gateway.client.get("/v1/models")).json()["data"]
        return [model["id"] for model in listed if not model["id"].endswith(":no-ask")]


def text(folder: Path, tokenizer: Path, models: dict[str, str], **settings: object) -> str:
    top = {"port": 0, "store": f"'{folder}/pir.db'", "secret": f"'{SECRET}'", "shutdown_s": 1.0, **settings}
    lines = [f"{key} = {value}" for key, value in top.items()]
    for name, url in models.items():
        lines += [f"[models.{name}]", 'engine = "vllm"', f'engine_url = "{url}"', 'model = "tiny"']
        lines += ['mode = "trained"', f"tokenizer = '{tokenizer}'"]
    return "\n".join(lines)


@pytest.fixture
async def desk(tokenizer_dir: Path, tmp_path: Path) -> AsyncIterator[Desk]:
    async with thinking(tokenizer_dir, 2) as engines:
        file = tmp_path / "pir.toml"
        file.write_text(text(tmp_path, tokenizer_dir, {"thinker": engines[0].url}))
        config = load({}, config=file)
        async with served_as(config) as gateway:
            reloader = Reloader(gateway.gateway, config, lambda: load({}, config=file))
            yield Desk(file, tokenizer_dir, engines, gateway, reloader)


async def test_a_model_moves_to_another_server_while_it_streams(desk: Desk) -> None:
    old, new = desk.engines
    old.script = Script(delay_s=0.02)
    asking = asyncio.create_task(desk.gateway.chat(stream=True))
    await settle(lambda: old.num_running == 1)
    models = {"thinker": new.url, "second": old.url}
    desk.file.write_text(text(desk.file.parent, desk.tokenizer, models, ask="'never'"))
    assert await desk.reloader.reload()
    assert await desk.models() == ["thinker", "second"]
    assert old.num_running == 1, "what streams goes on where it is"
    servers = (await desk.gateway.client.get("/ready")).json()["servers"]["thinker"]
    states = {"name": f"vllm {new.url}", "state": "up"}, {"name": f"vllm {old.url}", "state": "draining"}
    assert servers == [*states]
    reply = await asking
    assert QUESTION in reply.text and "error" not in reply.text
    new.bodies.clear()
    assert "Use your best judgment" in str(desk.gateway.gateway.settings.auto_response)
    answer = (await desk.gateway.chat()).json()["choices"][0]["message"]
    assert QUESTION not in answer["content"] and len(new.bodies) == 2, "it may not ask any more, on the new server"
    await settle(lambda: len(desk.gateway.gateway._engines) == 2)
    servers = (await desk.gateway.client.get("/ready")).json()["servers"]
    assert [(name, len(each)) for name, each in servers.items()] == [("thinker", 1), ("second", 1)]


async def test_an_engine_that_nothing_uses_any_more_is_closed(desk: Desk) -> None:
    old, new = desk.engines
    await desk.gateway.chat()
    old.script = Script(delay_s=0.02)
    asking = asyncio.create_task(desk.gateway.chat(stream=True))
    await settle(lambda: old.num_running == 1)
    desk.file.write_text(text(desk.file.parent, desk.tokenizer, {"other": new.url}))
    assert await desk.reloader.reload()
    assert (await desk.gateway.chat()).status_code == 404
    assert QUESTION in (await asking).text
    await settle(lambda: all(transport.is_closing() for transport in old.connections))


@pytest.mark.parametrize("fault", ["a key that is none", "no TOML", "an engine that is down", "a wrong screen"])
async def test_what_is_wrong_changes_nothing(desk: Desk, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    good = text(desk.file.parent, desk.tokenizer, {"thinker": desk.engines[1].url}, ask="'never'")
    down = text(desk.file.parent, desk.tokenizer, {"thinker": desk.engines[1].url, "down": "http://127.0.0.1:9"})
    desk.file.write_text(
        {
            "a key that is none": f"prot = 1\n{good}",
            "no TOML": f"{good}\n[",
            "an engine that is down": down,
            "a wrong screen": f"screen = 'absent.toml'\n{good}",
        }[fault]
    )
    before = desk.gateway.gateway.settings
    assert not await desk.reloader.reload()
    assert "all stays as it was" in caplog.text
    assert desk.gateway.gateway.settings == before and await desk.models() == ["thinker"]
    desk.engines[0].bodies.clear()
    assert (await desk.gateway.chat()).json()["choices"][0]["message"]["content"] == QUESTION
    assert len(desk.engines[0].bodies) == 1
    await settle(lambda: all(transport.is_closing() for transport in desk.engines[1].connections))
    desk.file.write_text(good)
    assert await desk.reloader.reload(), "and the next good one is taken over"


async def test_a_model_that_stays_keeps_its_connections_and_what_needs_a_restart_stays(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    before = desk.gateway.gateway.models["thinker"]
    models = {"thinker": desk.engines[0].url}
    desk.file.write_text(
        text(desk.file.parent, desk.tokenizer, models, workers=3, ttl_s=60, api_key="['correct-horse']")
    )
    assert await desk.reloader.reload()
    assert desk.gateway.gateway.models["thinker"] is before
    assert "restart the gateway for workers" in caplog.text and desk.gateway.gateway.settings.workers == 1
    assert desk.gateway.gateway.settings.ttl_s == 60
    assert (await desk.gateway.chat()).status_code == 401
    reply = await desk.gateway.client.get("/v1/models", headers={"Authorization": "Bearer correct-horse"})
    assert reply.status_code == 200


async def test_the_file_is_watched(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "_LOOK_S", 0.02)
    watching = asyncio.create_task(desk.reloader.watch())
    await asyncio.sleep(0.05)
    desk.file.unlink()  # as some editors do, before the new one is there
    await asyncio.sleep(0.1)
    assert await desk.models() == ["thinker"]
    models = {"thinker": desk.engines[0].url, "second": desk.engines[1].url}
    desk.file.write_text(text(desk.file.parent, desk.tokenizer, models))
    await settle(lambda: len(desk.gateway.gateway.models) == 2)
    watching.cancel()


async def test_a_models_own_policy_is_taken_over_without_a_new_engine(desk: Desk) -> None:
    before = desk.gateway.gateway.models["thinker"]
    assert (await desk.gateway.chat()).json()["choices"][0]["message"]["content"] == QUESTION
    whole = text(desk.file.parent, desk.tokenizer, {"thinker": desk.engines[0].url})
    desk.file.write_text(f"{whole}\nask = 'never'\ntemperature = 0.25\n")
    assert await desk.reloader.reload()
    assert desk.gateway.gateway.models["thinker"] is before
    desk.engines[0].bodies.clear()
    assert (await desk.gateway.chat()).json()["choices"][0]["message"]["content"] != QUESTION
    assert {body["temperature"] for body in desk.engines[0].bodies} == {0.25}
