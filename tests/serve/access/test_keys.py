"""API keys made by command: who gets in, who no longer does, and what is kept of a key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from pir_serve.access.keys import Limits, make_key
from pir_serve.cli import cli
from pir_serve.errors import ConfigError, StoreError
from tests.serve.brains import PROBLEM, curious, sure
from tests.serve.conftest import Desk, in_process

MakeDesk = Callable[..., Desk]
CHAT = {"model": "scripted", "messages": [{"role": "user", "content": PROBLEM}]}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def pir(tmp_path: Path, *arguments: str) -> Result:
    """In a thread: commands have an event loop of their own."""
    command = [*arguments, "--store", str(tmp_path / "pir.db")]
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(CliRunner().invoke, cli, command).result()


def created(tmp_path: Path, *options: str) -> dict[str, Any]:
    result = pir(tmp_path, "keys", "create", "--json", *options)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


async def status(client: httpx.AsyncClient, key: str | None, path: str = "/v1/models") -> int:
    return (await client.get(path, headers=bearer(key) if key else {})).status_code


class Time:
    """Of the authenticator: what it knows is fresh until told otherwise."""

    def __init__(self, desk: Desk) -> None:
        self.now = 0.0
        desk.gateway.auth._now = lambda: self.now

    def later(self) -> None:
        self.now += 3


async def test_a_made_key_lets_in_and_a_revoked_one_does_not_while_the_gateway_runs(
    make_desk: MakeDesk, tmp_path: Path
) -> None:
    desk = make_desk(sure)
    clock = Time(desk)
    async with in_process(desk) as client:
        assert await status(client, None) == 200  # nobody has made a key yet
        alice, bob = created(tmp_path, "--name", "alice"), created(tmp_path)
        clock.later()
        assert await status(client, None) == 401
        assert await status(client, alice["key"]) == await status(client, bob["key"]) == 200
        assert await status(client, alice["key"][:-1]) == await status(client, alice["id"]) == 401
        assert pir(tmp_path, "keys", "revoke", alice["id"]).exit_code == 0
        clock.later()
        assert (await status(client, alice["key"]), await status(client, bob["key"])) == (401, 200)
        assert pir(tmp_path, "keys", "revoke", bob["id"]).exit_code == 0
        clock.later()
        assert await status(client, None) == 401  # the last key's end does not open the door


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/x", "/v1/pir/sessions", "/v1/responses/resp_1", "/v1/no"])
async def test_nothing_under_v1_is_served_without_a_key(make_desk: MakeDesk, path: str) -> None:
    async with in_process(make_desk(sure, api_key=("correct-horse",))) as client:
        reply = await client.get(path)
        assert reply.status_code == 401 and reply.json()["error"]["code"] == "invalid_api_key"
        assert reply.headers["www-authenticate"] == "Bearer" and reply.headers["x-request-id"].startswith("req_")
        for open_to_all in ("/health", "/ready", "/metrics", "/openapi.json"):
            assert (await client.get(open_to_all)).status_code == 200


async def test_keys_of_the_settings_work_beside_those_of_the_store(make_desk: MakeDesk, tmp_path: Path) -> None:
    made = created(tmp_path)
    async with in_process(make_desk(sure, api_key=("correct-horse",))) as client:
        assert await status(client, "correct-horse") == await status(client, made["key"]) == 200
        assert await status(client, "battery-staple") == 401


def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    result = pir(tmp_path, "keys", "create", "--name", "alice", "--ask", "max=2", "--requests-per-minute", "60")
    secret = result.stdout.strip()
    assert secret.startswith("sk-pir-") and len(secret) > 40 and secret not in result.stderr
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()
    listed = pir(tmp_path, "keys", "list").output
    assert "alice" in listed and "requests_per_minute 60" in listed and secret not in listed
    with sqlite3.connect(tmp_path / "pir.db") as db:
        assert [len(row[0]) for row in db.execute("SELECT hash FROM api_keys")] == [64]
    db.close()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("create", "--ask", "sometimes"), "ask"),
        (("create", "--max-streams", "0"), "max-streams"),
        (("create", "--tenant", ""), "tenant"),
        (("create", "--tenant", "x" * 200), "tenant"),
        (("revoke", "key_unknown"), "key_unknown"),
        (("revoke", "key_'; DROP TABLE api_keys"), "no good key"),
    ],
)
def test_what_is_typed_wrong_is_said_in_a_line(tmp_path: Path, arguments: tuple[str, ...], word: str) -> None:
    result = pir(tmp_path, "keys", *arguments)
    assert result.exit_code != 0 and word in result.output + str(result.exception)
    assert result.exception is None or type(result.exception).__name__ in ("SystemExit", "RequestError")
    assert pir(tmp_path, "keys", "list", "--json").stdout.strip() == "[]"


async def test_a_second_key_of_a_tenant_reaches_its_conversations(make_desk: MakeDesk, tmp_path: Path) -> None:
    old = created(tmp_path)
    new, other = created(tmp_path, "--tenant", old["tenant"]), created(tmp_path)
    async with in_process(make_desk(curious)) as client:
        reply = await client.post("/v1/chat/completions", json=CHAT, headers=bearer(old["key"]))
        sid = reply.headers["x-pir-session"]
        resume = {**CHAT, "messages": [{"role": "user", "content": "4"}], "pir": {"session": sid}}
        assert (await client.post("/v1/chat/completions", json=resume, headers=bearer(other["key"]))).status_code == 400
        reply = await client.post("/v1/chat/completions", json=resume, headers=bearer(new["key"]))
        assert reply.headers["x-pir-resume"] == "exact"


async def test_beyond_loopback_a_gateway_starts_only_with_a_key(make_desk: MakeDesk, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pir keys create"):
        async with in_process(make_desk(sure, host="0.0.0.0")):
            pass
    created(tmp_path)
    async with in_process(make_desk(sure, host="0.0.0.0")) as client:
        assert await status(client, None) == 401


async def test_a_start_without_keys_is_said_loudly(make_desk: MakeDesk, caplog: pytest.LogCaptureFixture) -> None:
    async with in_process(make_desk(sure)):
        assert [r.levelname for r in caplog.records if "no API key is set" in r.message] == ["WARNING"]


async def test_a_store_out_of_order_shuts_nobody_out_who_was_in(
    make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(sure)
    clock = Time(desk)
    async with in_process(desk) as client:
        secret, key = make_key(limits=Limits())
        await desk.gateway.store.keys.put(key)
        clock.later()
        assert await status(client, secret) == 200

        async def fail(*_: object) -> None:
            raise StoreError("out of order")

        for operation in ("find", "any"):
            monkeypatch.setattr(desk.gateway.store.keys, operation, fail)
        clock.later()
        assert await status(client, secret) == 200
        assert await status(client, "sk-pir-unknown") == 503
        assert await status(client, None) == 401
