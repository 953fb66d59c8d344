"""`pir sessions` as people type it, against a real gateway on a port."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result

from pir_serve import cli
from pir_serve.params import RunParams
from pir_serve.policy import AskPolicy
from tests.serve.brains import PROBLEM, QUESTION, curious, twice_curious
from tests.serve.conftest import Desk, in_process
from tests.serve.sessions.samples import GATED, keep, keep_volunteered

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]


def pir(desk: Desk, *arguments: str, stdin: str | None = None) -> Result:
    command = ["sessions", arguments[0], "--base-url", desk.url, *arguments[1:]]
    return CliRunner().invoke(cli.cli, command, input=stdin, prog_name="pir")


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.rstrip() for line in result.stdout.splitlines()]


@contextmanager
def with_branches(make_desk: MakeDesk, on_port: Serve, **settings: Any) -> Iterator[Desk]:
    """A gateway on a port whose store has one session of three nodes: asked, answered, and answered otherwise."""
    desk = make_desk(twice_curious, **settings)

    async def fill() -> None:
        async with in_process(desk):
            first = await keep(desk, 1, PROBLEM)
            second = await keep(desk, 2, "4", parent=first)
            await keep(desk, 3, "dollars", parent=second)
            await keep(desk, 4, "5", parent=first)
            await keep(desk, 5, "How far is the moon?", session="s_moon")

    asyncio.run(fill())
    with on_port(desk):
        yield desk


def test_help_teaches() -> None:
    runner = CliRunner()
    group = runner.invoke(cli.cli, ["sessions", "--help"]).output
    for word in ("list", "show", "resume", "delete", "export", "pir sessions resume s_4f1", "branches"):
        assert word in group
    for name in ("list", "show", "resume", "delete", "export"):
        output = runner.invoke(cli.cli, ["sessions", name, "--help"]).output
        assert "--base-url" in output and "--api-key" in output
    assert "sessions" in runner.invoke(cli.cli, ["--help"]).output


def test_the_command_starts_without_what_a_gateway_needs() -> None:
    code = (
        "import sys, pir_serve.commands.sessions\n"
        "print([m for m in ('openai', 'starlette', 'aiohttp', 'pydantic', 'sqlite_utils') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"


def test_sessions_are_listed_with_what_they_ask(make_desk: MakeDesk, on_port: Serve) -> None:
    with with_branches(make_desk, on_port) as desk:
        output = lines(pir(desk, "list"))
        assert output[0].split()[:3] == ["SESSION", "STATUS", "UPDATED"]
        assert [line.split()[0] for line in output[1:] if line.startswith("s_")] == ["s_moon", "s_pens"]
        assert "awaiting_user" in output[1] and "1 h ago" in output[1] and "How far is the moon?" in output[1]
        assert any(f"? {QUESTION}" in line for line in output)
        first = pir(desk, "list", "--limit", "1")
        assert "s_pens" not in first.output and "more than these 1" in first.stderr
        assert "s_pens" not in pir(desk, "list", "--search", "moon").output
        assert lines(pir(desk, "list", "--status", "failed")) == ["no sessions like that"]
        listed = json.loads(pir(desk, "list", "--json", "--limit", "150").stdout)
        assert [session["id"] for session in listed] == ["s_moon", "s_pens"]
        assert listed == httpx.get(f"{desk.url}/v1/pir/sessions").json()["data"]


def test_more_sessions_than_a_page_are_listed(make_desk: MakeDesk, on_port: Serve) -> None:
    desk = make_desk(lambda prompt: "\n</think>\nYes.")

    async def fill() -> None:
        async with in_process(desk):
            for n in range(105):
                await keep(desk, n, "Is it so?", session=f"s_{n}")

    asyncio.run(fill())
    with on_port(desk):
        listed = json.loads(pir(desk, "list", "--json", "--limit", "103").stdout)
        assert [session["id"] for session in listed] == [f"s_{n}" for n in reversed(range(2, 105))]


def test_a_session_is_shown_as_a_tree(make_desk: MakeDesk, on_port: Serve) -> None:
    with with_branches(make_desk, on_port) as desk:
        output = lines(pir(desk, "show", "s_pens"))
        bare = [line.lstrip("│├└─ ") for line in output]
        ages = [line.replace("  1 h ago", "") for line in bare]
        scores = [line.split()[0] for line in ages if line[:1].isdigit()]
        assert [line.partition(" ")[2] if line[:1].isdigit() else line for line in ages] == [
            PROBLEM,
            "s_pens  scripted  4 nodes, 3 waiting",
            "pir_1  awaiting_user",
            "I need the price.",
            f"? {QUESTION}",
            "pir_2  awaiting_user",
            "> 4",
            "I need a currency.",
            "? Which currency?",
            "pir_3  completed",
            "> dollars",
            "All is known.",
            "= Six pens at 4 dollars.",
            "pir_4  awaiting_user",
            "> 5",
            "I need a currency.",
            "? Which currency?",
        ]
        assert scores and all(0 <= float(score) < 1 for score in scores)
        indents = {line.split()[-4 if "ago" in line else 0]: len(line) - len(line.lstrip("│├└─ ")) for line in output}
        assert len(set(indents.values())) > 2
        (node,) = json.loads(pir(desk, "show", "pir_2", "--json").stdout)["branches"]
        assert node["id"] == "pir_2" and "token_ids" not in node["segments"][0]
        (node,) = json.loads(pir(desk, "show", "pir_2", "--json", "--ids").stdout)["branches"]
        assert node["segments"][0]["token_ids"]
        assert pir(desk, "show", "pir_2", "--ids").exit_code == 2


def test_what_the_gateway_and_the_gate_did_is_told(make_desk: MakeDesk, on_port: Serve) -> None:
    desk = make_desk(
        ["\nThe price is given.\nSo.", f"{QUESTION}</asking>", "\nOh.\n<asking>Really?</asking>", "\n</think>\nTen."]
    )

    async def fill() -> None:
        async with in_process(desk):
            opened = await keep(desk, 1, PROBLEM, params=GATED)
            long = "Guess, " * 30 + "and say so."
            await keep(desk, 2, "4", parent=opened, params=RunParams(policy=AskPolicy(1), auto_response=long))

    asyncio.run(fill())
    with on_port(desk):
        words = pir(desk, "show", "s_pens").stdout.split()
        assert words.count("Guess,") == 30 and "(template:" in words  # wrapped, not cut
        told = [line.lstrip("│├└─ ") for line in lines(pir(desk, "show", "s_pens"))]
        said = [line for line in told if line[:1] in ("?", ">", "=")]
        assert said[:3] == [f"? {QUESTION}", "> 4", "? Really?"] and said[3].startswith("> Guess, ")
        assert said[4:] == ["= Ten."]
        whole = [line.lstrip("│├└─ ") for line in lines(pir(desk, "show", "pir_2"))]
        assert [line for line in whole if line[:1] in ("?", ">", "=")] == [line for line in told if line[:1] in "?>="]


def test_what_the_user_said_unasked_is_told(make_desk: MakeDesk, on_port: Serve) -> None:
    desk = make_desk(curious)

    async def fill() -> None:
        async with in_process(desk):
            await keep_volunteered(desk, 1)

    asyncio.run(fill())
    with on_port(desk):
        told = [line.lstrip("│├└─ ") for line in lines(pir(desk, "show", "s_pens"))]
        assert told[-4:] == ["I lack the price.", "+ It is 4. (unasked)", "So.", "= Twenty-four."]


def test_hidden_reasoning_stays_hidden(make_desk: MakeDesk, on_port: Serve, tmp_path: Path) -> None:
    with with_branches(make_desk, on_port, show_reasoning="none") as desk:
        output = pir(desk, "show", "s_pens").output
        assert "I need" not in output
        assert all(part in output for part in (QUESTION, "> dollars", "= Six pens at 4 dollars."))
        refused = pir(desk, "export", "-o", str(tmp_path / "rows.jsonl"))
        assert refused.exit_code == 1 and "does not show reasoning" in refused.output
        assert not list(tmp_path.glob("rows*"))


def test_a_question_is_answered(make_desk: MakeDesk, on_port: Serve) -> None:
    with with_branches(make_desk, on_port) as desk:
        asked = pir(desk, "resume", "pir_1", "7")
        assert lines(asked)[-1] == "? Which currency?" and "I need a currency." in asked.stdout
        sid = asked.stderr.split("resume ")[1].split()[0]
        assert sid.startswith("pir_")
        assert lines(pir(desk, "resume", sid, stdin="euros\n"))[-1] == "Six pens at 7 euros."
        quiet = lines(pir(desk, "resume", sid, "yen", "--hide-reasoning"))
        assert quiet == ["Six pens at 7 yen."]
        reply = json.loads(pir(desk, "resume", sid, "yen", "--json").stdout)
        assert reply["choices"][0]["message"]["content"] == "Six pens at 7 yen."
        auto = desk.gateway.settings.auto_response
        assert lines(pir(desk, "resume", sid, "--decline"))[-1] == f"Six pens at 7 {auto}."


def test_deleting_is_confirmed(make_desk: MakeDesk, on_port: Serve) -> None:
    with with_branches(make_desk, on_port) as desk:
        assert pir(desk, "delete", "s_pens", stdin="n\n").exit_code == 1
        assert "s_pens" in pir(desk, "list").output
        kept = pir(desk, "delete", "pir_2", "s_moon", stdin="y\n")
        assert lines(kept)[-2:] == ["deleted pir_2 (1 node)", "deleted s_moon (1 node)"]
        assert lines(pir(desk, "delete", "--yes", "s_pens")) == ["deleted s_pens (3 nodes)"]
        assert lines(pir(desk, "list")) == ["no sessions"]


def test_rows_are_exported_to_a_file_or_a_pipe(make_desk: MakeDesk, on_port: Serve, tmp_path: Path) -> None:
    with with_branches(make_desk, on_port) as desk:
        file = tmp_path / "rows.jsonl"
        told = pir(desk, "export", "--status", "completed", "-o", str(file))
        assert told.exit_code == 0 and told.stderr == f"1 row in {file}\n" and told.stdout == ""
        (row,) = map(json.loads, file.read_text().splitlines())
        assert row["id"] == "pir_3" and row["parts"][-1]["text"].endswith("Six pens at 4 dollars.<|im_end|>")
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("rows")] == ["rows.jsonl"]
        assert [json.loads(line)["id"] for line in lines(pir(desk, "export", "--session", "s_pens"))] == [
            "pir_4",
            "pir_3",
            "pir_2",
            "pir_1",
        ]
        assert lines(pir(desk, "export", "--model", "other")) == []
