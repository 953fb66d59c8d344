"""`pir sessions` where something is wrong: ids, options, keys, addresses, replies that break off, hostile text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from pir_serve.errors import StoreError
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious
from tests.serve.conftest import Desk, in_process
from tests.serve.sessions.samples import keep
from tests.serve.sessions.test_cli import lines, pir, with_branches

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resume", "pir_3", "x"], "waits for no answer"),
        (["resume", "pir_9", "x"], "there is no session or node 'pir_9'"),
        (["resume", "pir_1", " "], "say what to tell the model"),
        (["resume", "pir_1", "x", "--decline"], "--decline goes without a response"),
        (["show", "s_none"], "there is no session or node 's_none'"),
        (["show", "../../health"], "the gateway refused (404)"),
        (["export", "-o", "/nowhere/at/all.jsonl"], "/nowhere/at/all.jsonl cannot be written: No such file"),
        (["list", "--search", "x" * 1001], "search: "),
        (["export", "--since", "yesterday"], "since: "),
        (["delete", "s_none", "-y"], "there is no session or node 's_none'"),
        (["delete"], "Missing argument"),
    ],
)
def test_what_is_wrong_is_told(make_desk: MakeDesk, on_port: Serve, arguments: list[str], words: str) -> None:
    with with_branches(make_desk, on_port) as desk:
        result = pir(desk, *arguments)
        assert result.exit_code in (1, 2) and words in result.output and "Traceback" not in result.output


def test_nothing_steers_the_terminal(make_desk: MakeDesk, on_port: Serve) -> None:
    desk = make_desk(lambda prompt: "\nHm \x1b[31mred.\n<asking>Clear\x1b[2J the \x07 screen?</asking>")

    async def fill() -> None:
        async with in_process(desk):
            await keep(desk, 1, "Title \x1b]0;pwned\x07 [bold]x[/bold]")

    asyncio.run(fill())
    with on_port(desk):
        for arguments in (["list"], ["show", "s_pens"]):
            output = pir(desk, *arguments).output
            assert "\x1b" not in output and "\x07" not in output and "[bold]x[/bold]" in output and "screen?" in output


def test_keys_are_those_of_pir_chat(make_desk: MakeDesk, on_port: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_port(make_desk(curious, api_key=("correct-horse",))) as desk:
        refused = pir(desk, "list")
        assert refused.exit_code == 1 and "the gateway refused (401): no API key" in refused.output
        assert lines(pir(desk, "list", "--api-key", "correct-horse")) == ["no sessions"]
        monkeypatch.setenv("OPENAI_API_KEY", "correct-horse")
        assert lines(pir(desk, "list")) == ["no sessions"]


def test_where_there_is_no_gateway_that_is_said(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk:
        pass
    for url, words in {
        desk.url: "start the gateway with `pir serve`",
        "localhost:8000": "must begin with http://",
        "file:///etc/passwd": "must begin with http://",
        "http://": "nothing answers",
        "http://127.0.0.1:x": "no address",
    }.items():
        desk.url = url
        result = pir(desk, "list")
        assert result.exit_code == 1 and words in result.output, result.output


def test_an_export_that_breaks_off_leaves_no_file(
    make_desk: MakeDesk, on_port: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = make_desk(lambda prompt: "\n</think>\nYes.")

    async def fill() -> None:
        async with in_process(desk):
            for n in range(40):
                await keep(desk, n, "Is it so?", session=f"s_{n}")

    asyncio.run(fill())
    read = desk.gateway.store.list

    async def read_once(*args: Any, **given: Any) -> Any:
        if given["cursor"] is not None:
            raise StoreError("the disk is gone")
        return await read(*args, **given)

    monkeypatch.setattr(desk.gateway.store, "list", read_once)
    file = tmp_path / "rows.jsonl"
    file.write_text("an earlier one")
    with on_port(desk):
        result = pir(desk, "export", "-o", str(file))
        assert result.exit_code == 1 and "the reply broke off" in result.output
    assert file.read_text() == "an earlier one" and not list(tmp_path.glob("*.part"))


def test_a_reply_that_breaks_off_is_told(make_desk: MakeDesk, on_port: Serve) -> None:
    desk = make_desk([f"\n<asking>{QUESTION}</asking>", Line("\nHm.", end="die"), Line("", end="die")])

    async def fill() -> None:
        async with in_process(desk):
            await keep(desk, 1, PROBLEM)

    asyncio.run(fill())
    with on_port(desk):
        result = pir(desk, "resume", "pir_1", "4")
        assert result.exit_code == 1 and "the reply broke off: the scripted engine died" in result.output
