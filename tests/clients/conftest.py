"""A gateway process over the scripted engine, a recorder before it, LiteLLM's proxy before that, and players: stock
clients in processes of their own."""

from __future__ import annotations

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.recorder import Recorder, recording
from tests.serve.conftest import make_desk, tokenizer_dir, write_tokenizer

__all__ = ["make_desk", "tokenizer_dir"]  # fixtures of theirs that ours use

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = Path(os.environ.get("CLIENTS_VENV", ROOT / ".venv-clients")).resolve() / "bin" / "python"
NODE = shutil.which("node")
NOT_INSTALLED = "the clients' virtual environment is missing: make test-clients installs it"
START_S = 100.0


@dataclass
class Front:
    """What the tests see: the recorder, and the prompt of every leg that the engine has run."""

    recorder: Recorder
    record: Path

    @property
    def url(self) -> str:
        return f"{self.recorder.url}/v1"

    def take_prompts(self) -> list[list[int]]:
        """Token ids of the legs since the last time, in the order in which they began."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        self.record.write_text("")
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("clients")
    write_tokenizer(folder / "tokenizer")
    with _gateway(folder) as url, recording(url) as recorder:
        yield Front(recorder, folder / "prompts")


@pytest.fixture(scope="session")
def litellm(front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """LiteLLM's proxy in front of the recorder: its only deployment of the model `scripted`."""
    if not PYTHON.exists():
        pytest.skip(NOT_INSTALLED)
    folder = tmp_path_factory.mktemp("litellm")
    proxy = Proxy("sk-0123456789abcdef0123456789abcdef", folder / "litellm.yaml")
    proxy.write(front.url)
    port = free_port()
    command = [str(PYTHON.with_name("litellm")), "--config", str(proxy.config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--telemetry", "False"]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONUNBUFFERED": "1"}
    with serving(command, f"http://127.0.0.1:{port}", "/health/liveliness", folder, offline) as url:
        proxy.url = f"{url}/v1"
        yield proxy


@dataclass
class Proxy:
    key: str
    config: Path
    url: str = ""

    def write(self, gateway: str) -> None:
        """Its settings: JSON is YAML. It forwards the headers of clients that begin with `x-`."""
        deployment = {"model": "openai/scripted", "api_base": gateway, "api_key": "unused"}
        general = {"master_key": self.key, "forward_client_headers_to_llm_api": True}
        models = [{"model_name": "scripted", "litellm_params": deployment}]
        self.config.write_text(json.dumps({"model_list": models, "general_settings": general}))


@contextmanager
def _gateway(folder: Path) -> Iterator[str]:
    port = free_port()
    paths = [str(folder / name) for name in ("tokenizer", "pir.db", "prompts")]
    command = [sys.executable, "-m", "tests.serve.scripted_gateway", str(port), *paths]
    with serving(command, f"http://127.0.0.1:{port}", "/ready", folder) as url:
        yield url


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: list[str],
    url: str,
    ready: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    start_s: float = START_S,
) -> Iterator[str]:
    """A server process, from when it answers `ready`; what it prints is in `folder`."""
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(environment or {})}, stdout=printed, stderr=printed
        )
    try:
        deadline = time.monotonic() + start_s
        while True:
            assert process.poll() is None, (folder / "printed").read_text()[-4000:]
            assert time.monotonic() < deadline, "it did not start"
            try:
                if httpx.get(url + ready).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


class Player:
    """A stock client at work; see players/player.py for what it understands."""

    def __init__(self, process: subprocess.Popen[bytes], errors: Path) -> None:
        self._process = process
        self._errors = errors

    def say(self, text: str, *, after: int | None = None, stream: bool = False, first: str = "") -> dict[str, Any]:
        reply = self._send(_line(text, after, stream, first))
        assert "error" not in reply, reply["error"]
        return reply

    def race(self, texts: list[str], *, after: int, stream: bool) -> list[dict[str, Any]]:
        replies: list[dict[str, Any]] = self._send({"race": [_line(t, after, stream, "") for t in texts]})["race"]
        assert not [r for r in replies if "error" in r], replies
        return replies

    def _send(self, line: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], START_S)
        assert ready, f"the client says nothing: {self._errors.read_text()[-2000:]}"
        answer = self._process.stdout.readline()
        assert answer, f"the client has ended: {self._errors.read_text()[-2000:]}"
        reply: dict[str, Any] = json.loads(answer)
        return reply


def _line(text: str, after: int | None, stream: bool, first: str) -> dict[str, Any]:
    return {"from": after, "text": text, "stream": stream, "first": first}


@contextmanager
def playing(command: list[str], url: str, errors: Path, key: str = "unused") -> Iterator[Player]:
    """`command`: a script of players/ or js/ and what follows the base URL and the model on its command line.

    Skips where the client is not installed.
    """
    script, *rest = command
    if script.endswith(".mjs"):
        if NODE is None:
            pytest.skip("node is not installed here (Debian: apt install nodejs npm)")
        if not (HERE / "js" / "node_modules").is_dir():
            pytest.skip("tests/clients/js/node_modules is missing: make test-clients installs it")
        program = [NODE, str(HERE / "js" / script)]
    else:
        if not PYTHON.exists():
            pytest.skip(NOT_INSTALLED)
        program = [str(PYTHON), str(HERE / "players" / script)]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [*program, url, "scripted", *rest],
            env={**os.environ, "OPENAI_API_KEY": key},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    with process:
        try:
            yield Player(process, errors)
        finally:
            process.kill()
