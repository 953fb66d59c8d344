"""The gateway is killed between question and answer; the one that is started next goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serve.brains import PROBLEM, QUESTION


@contextmanager
def gateway_process(*arguments: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.serve.scripted_gateway", str(port), *map(str, arguments)]
    with (arguments[-1].parent / "stderr").open("ab") as stderr:
        process = subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=stderr)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 100
        while True:
            assert process.poll() is None and time.monotonic() < deadline, "the gateway did not start"
            try:
                if httpx.get(f"{url}/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url, process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("stream", [False, True])
def test_kill_9_between_question_and_answer_loses_nothing(tokenizer_dir: Path, tmp_path: Path, stream: bool) -> None:
    arguments = (tokenizer_dir, tmp_path / "pir.db", tmp_path / "prompts")
    messages = [{"role": "user", "content": PROBLEM}]
    with gateway_process(*arguments) as (url, process):
        body = {"model": "scripted", "messages": messages, "stream": stream}
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
            for line in reply.iter_lines():
                if QUESTION in line:  # the client has seen the question; the reply is not even over
                    os.kill(process.pid, signal.SIGKILL)
                    break
        process.wait()
    messages += [{"role": "assistant", "content": QUESTION}, {"role": "user", "content": "4 dollars"}]
    with gateway_process(*arguments) as (url, _):
        replies = [
            httpx.post(f"{url}/v1/chat/completions", json={"model": "scripted", "messages": messages}) for _ in range(2)
        ]
    for final in replies:
        assert final.headers["x-pir-resume"] == "hash"
        assert final.json()["choices"][0]["message"]["content"] == "Six pens at 4 dollars each."
    first, resumed, again = (json.loads(line) for line in (tmp_path / "prompts").read_text().splitlines())
    assert resumed[: len(first)] == first and resumed == again


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_cleanly_even_while_it_streams(
    tokenizer_dir: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with gateway_process(tokenizer_dir, tmp_path / "pir.db", tmp_path / "prompts") as (url, process):
        messages = [{"role": "user", "content": f"{PROBLEM} Think slowly."}]
        body = {"model": "scripted", "messages": messages, "stream": True}
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
            lines = reply.iter_lines()
            next(line for line in lines if "reasoning_content" in line)
            process.send_signal(number)
            rest = list(lines)
        assert "the gateway is stopping" in rest[-2]
        assert process.wait(15) == 0
    assert "Traceback" not in (tmp_path / "stderr").read_text()
