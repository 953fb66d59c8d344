"""`pir` as people type it: help, settings, and plain words for what is wrong; and `pir chat` against a real gateway."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import EntryPoint
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pir_serve import __version__, cli
from pir_serve.errors import ConfigError, PirError
from pir_serve.settings import BUILTIN_MODEL, Settings
from tests.fakes import Line
from tests.serve.brains import PROBLEM, QUESTION, curious
from tests.serve.conftest import Desk

MakeDesk = Callable[..., Desk]
Serve = Callable[[Desk], AbstractContextManager[Desk]]


def pir(*arguments: str, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.cli, arguments, input=stdin, prog_name="pir", env=env)


def test_help_lists_every_command_and_how_to_begin() -> None:
    help_text = pir("--help").output
    for word in ("serve", "chat", "doctor", "models", "problems", "train", "pir serve", "--engine vllm"):
        assert word in help_text
    assert pir("--version").output == f"pir, version {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from pir_serve import cli\n"
        "assert CliRunner().invoke(cli.cli, ['--help']).exit_code == 0\n"
        "print([m for m in ('torch', 'transformers', 'starlette', 'uvicorn', 'openai', 'trl') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("evals.not_there:problems", "It lives in the repository"),
        ("pir_serve.no_such_module:problems", "pip install pir_serve.no_such_module"),
        ("json:no_such_name", "could not be loaded from json:no_such_name"),
        ("json:dumps", "is no click command"),
    ],
)
def test_a_command_that_cannot_be_loaded_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, target: str, words: str
) -> None:
    points = [EntryPoint("problems", target, "pir.commands")]
    monkeypatch.setattr(cli, "entry_points", lambda group: points if group == "pir.commands" else [])
    assert pir("--help").exit_code == 0
    for arguments in (["problems"], ["problems", "--n", "3", "--help"]):
        result = pir(*arguments)
        assert result.exit_code == 1 and words in result.output


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "needs_trl_too.py").write_text("import no_such_package_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    points = [EntryPoint("train", "needs_trl_too:train", "pir.commands")]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)
    assert "pip install 'pir-serve[train]'" in pir("train", "tiny").output


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        ([], {"PIR_PROT": "1"}, "did you mean PIR_PORT?"),
        ([], {"PIR_PORT": "eighty"}, "must be a number"),
        ([], {"PIR_STRICT_RESUME": "perhaps"}, "true or false"),
        ([], {"PIR_ENGINE": "llama"}, "one of local, vllm, sglang"),
        (["--port", "99999"], {}, "between 0 and 65535"),
        (["--ask", "often"], {}, "auto, never, max=N or N"),
        (["--host", "0.0.0.0"], {}, "PIR_API_KEY"),
        ([], {"PIR_API_KEY": "short"}, "shorter than 8"),
        (
            [],
            {"PIR_SECRET": "short", "PIR_MODEL": "FOLDER", "PIR_ENGINE": "vllm", "PIR_ENGINE_URL": "http://x"},
            "FOLDER",
        ),
        (["--engine", "vllm"], {}, "--engine-url"),
        (["--engine", "vllm", "--engine-url", "127.0.0.1:1"], {}, "http://"),
        (["--engine", "sglang", "--engine-url", "http://127.0.0.1:1"], {}, "--model"),
        (["--engine", "vllm", "--engine-url", "http://127.0.0.1:1", "--model", "x/y"], {}, "--tokenizer DIR"),
        (["--engine-url", "http://127.0.0.1:1"], {}, "--engine vllm"),
        (["--model", "/nowhere/at/all"], {}, "--tokenizer"),
    ],
)
def test_wrong_settings_are_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], env: dict[str, str], words: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    result = pir("serve", *arguments)
    assert isinstance(result.exception, PirError) and words in str(result.exception)  # `main` prints it


def test_main_prints_one_line_and_no_traceback() -> None:
    env = {**os.environ, "PIR_PROT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pir_serve.cli", "serve"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "pir: PIR_PROT is not a setting; did you mean PIR_PORT?\n" and not done.stdout


def test_settings_come_from_variables_and_flags_win() -> None:
    env = {"PIR_PORT": "9000", "PIR_API_KEY": "key-number-one, key-number-two", "PIR_STORE": "/data/x.db", "HOME": "/"}
    settings = Settings.from_env(env, port=9001, engine_url=(), model=None)
    assert (settings.port, settings.api_key, settings.store) == (
        9001,
        ("key-number-one", "key-number-two"),
        Path("/data/x.db"),
    )
    assert Settings.from_env({}).host == "127.0.0.1"
    with pytest.raises(ConfigError):
        Settings.from_env({}, no_such_flag=1)


def test_every_setting_is_documented() -> None:
    import ast
    import inspect
    import textwrap

    body = ast.parse(textwrap.dedent(inspect.getsource(Settings))).body[0].body
    for field, after in pairwise(body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(after, ast.Expr), f"{ast.unparse(field)} has no docstring"


def test_a_port_in_use_is_told(make_desk: MakeDesk) -> None:
    from pir_serve.api.server import run

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        desk = make_desk(curious, port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="Choose another port"):
            run(desk.gateway)


def test_models_lists_the_published_ones() -> None:
    output = pir("models").output
    assert "Proactive-Interactive-R1/Proactive-Interactive-R1-Math-7B" in output and "pir-tiny" in output


def test_doctor_finds_what_is_wrong_and_only_that(tokenizer_dir: Path, tmp_path: Path) -> None:
    options = ["--store", str(tmp_path / "d.db"), "--tokenizer", str(tokenizer_dir)]
    nobody = ["--engine", "vllm", "--engine-url", "http://127.0.0.1:9", "--model", "m"]
    result = pir("doctor", *options, *nobody)
    assert result.exit_code == 1
    assert "WRONG engine" in result.output and result.output.count("WRONG") == 1
    assert "ok    tags: one token each" in result.output
    folder = tmp_path / "a_folder.db"
    folder.mkdir()
    result = pir("doctor", *options[2:], *nobody, "--store", str(folder))
    assert "WRONG store" in result.output and result.exit_code == 1
    screen = tmp_path / "screen.toml"
    screen.write_text("[rules.birthdays]")
    result = pir("doctor", *options, *nobody, env={"PIR_SCREEN": str(screen)})
    assert "WRONG question screen" in result.output and "did you mean rule?" in result.output


def test_chat_asks_and_goes_on_with_the_next_line(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk(curious)) as desk:
        for url in (desk.url, f"{desk.url}/v1/"):
            result = pir("chat", "--base-url", url, stdin=f"{PROBLEM}\n4 dollars\n")
            assert result.exit_code == 0, result.output
            lines = [line for line in result.output.splitlines() if line]
            assert lines == [
                "The number of pens is 6.",
                "I need the price.",
                f"? {QUESTION}",
                "One pen costs 4 dollars.",
                "Six pens at 4 dollars each.",
            ]
        quiet = pir("chat", PROBLEM, "--hide-reasoning", "--base-url", desk.url, stdin="4\n/new\n\n/quit\nnever read\n")
        assert quiet.output.split("\n")[:2] == [f"? {QUESTION}", "Six pens at 4 each."]
        assert "never read" not in desk.engine.prompt_text()


def test_chat_tells_what_is_wrong(make_desk: MakeDesk, on_port: Serve) -> None:
    with on_port(make_desk([Line("\nHm.", end="die"), Line("", end="die")])) as desk:
        result = pir("chat", "hi", "--base-url", desk.url, "--model", "other", stdin="")
        assert result.exit_code == 1 and "there is no model 'other' here" in result.output
        result = pir("chat", "hi", "--base-url", desk.url, stdin="")
        assert result.exit_code == 1 and "the reply broke off" in result.output
    result = pir("chat", "hi", "--base-url", desk.url, stdin="")
    assert result.exit_code == 1 and "start the gateway with `pir serve`" in result.output


def test_chat_with_keys(make_desk: MakeDesk, on_port: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_port(make_desk(curious, api_key=("correct-horse",))) as desk:
        refused = pir("chat", "hi", "--base-url", desk.url, stdin="")
        assert refused.exit_code == 1 and "401" in refused.output
        monkeypatch.setenv("OPENAI_API_KEY", "correct-horse")
        assert QUESTION in pir("chat", "hi", "--base-url", desk.url, stdin="").output


async def test_the_start_line_says_what_this_gateway_is(make_desk: MakeDesk, tmp_path: Path) -> None:
    from pir_serve.commands.serve import welcome

    desk = make_desk(curious)
    async with desk.gateway.running():
        text = welcome(desk.gateway, 8123)
        assert "pir ui" in text and "pir ui" not in welcome(desk.gateway, 8123, with_ui=True)
    assert "http://127.0.0.1:8123/v1" in text and "anybody on this machine only" in text and "scripted" in text
    assert "little world" not in text

    served: Any = next(iter(desk.gateway.models.values()))
    object.__setattr__(served, "folder", BUILTIN_MODEL)
    object.__setattr__(served, "examples", [{"shown": "What does $5 buy?", "facts": [{"hidden": True}]}])
    text = welcome(desk.gateway, 8123)
    assert "little world" in text and 'pir chat --base-url http://127.0.0.1:8123 "What does \\$5 buy?"' in text
    assert "--engine vllm" in text and "Proactive-Interactive-R1-Math-7B" in text


def test_examples_come_from_the_models_folder(make_desk: MakeDesk, on_port: Serve, tokenizer_dir: Path) -> None:
    import httpx

    rows = [{"shown": "a"}, {"shown": "b"}]
    (tokenizer_dir / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        with on_port(make_desk(curious)) as desk:
            assert httpx.get(f"{desk.url}/v1/pir/examples").json()["data"] == rows
    finally:
        (tokenizer_dir / "examples.jsonl").unlink()
