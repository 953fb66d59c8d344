"""`make demo`: starts a gateway on a free port, is a client with the OpenAI SDK, and checks each step.

Three acts with problems that lack a fact: a plain exchange; the same streamed; and one where the gateway is killed (-9)
between question and answer and started again. Exits 0 only if every step held.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI
from rich.console import Console
from rich.markup import escape

from pir_serve.settings import BUILTIN_MODEL

START_TIMEOUT_S = 120.0
console = Console(highlight=False)


class DemoFailed(Exception):
    """A step did not hold."""


@dataclass
class Gateway:
    """A gateway process and its address; the store outlives the process."""

    port: int
    store: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "pir_serve.cli", "serve", "--port", str(self.port), "--store", str(self.store)]
        env = {k: v for k, v in os.environ.items() if not k.startswith("PIR_")}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise DemoFailed(
                    f"the gateway ended at start with exit code {self.process.returncode}; try `pir doctor`"
                )
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/ready", timeout=2):
                return
            time.sleep(0.1)
        raise DemoFailed(f"the gateway was not ready after {START_TIMEOUT_S:.0f} s")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def fresh_gateway() -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="pir-demo-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        gateway = Gateway(port, Path(folder) / "demo.db")
        try:
            gateway.start()
            yield gateway
        finally:
            gateway.stop()


def say(who: str, text: str, style: str = "") -> None:
    console.print(f"[bold]{who:>9}[/bold]  [{style or 'default'}]{escape(text)}[/]")


def plain(client: OpenAI, messages: list[Any]) -> tuple[Any, str]:
    """One reply: the message to append, and its `pir.status`."""
    message = client.chat.completions.create(model="pir-tiny", messages=messages).choices[0].message
    extra: dict[str, Any] = message.model_extra or {}
    say("reasoning", str(extra.get("reasoning_content", "")).strip().replace("\n", " "), "dim")
    return message, str(extra["pir"]["status"])


def streamed(client: OpenAI, messages: list[Any]) -> tuple[Any, str]:
    """The same, streamed; only the content is kept, as the plainest clients do."""
    content, status, thought = "", "", ""
    for chunk in client.chat.completions.create(model="pir-tiny", messages=messages, stream=True):
        for choice in chunk.choices:
            extra: dict[str, Any] = choice.delta.model_extra or {}
            thought += extra.get("reasoning_content") or ""
            content += choice.delta.content or ""
            status = extra.get("pir", {}).get("status", status)
    say("reasoning", thought.strip().replace("\n", " "), "dim")
    return {"role": "assistant", "content": content}, status


def exchange(gateway: Gateway, example: dict[str, Any], *, stream: bool, kill: bool = False) -> None:
    """Problem, question, response, answer. Raises: DemoFailed."""
    client = OpenAI(base_url=f"{gateway.url}/v1", api_key="unused", max_retries=0)
    ask = streamed if stream else plain
    messages: list[Any] = [{"role": "user", "content": example["problem"]}]
    say("user", example["problem"])
    message, status = ask(client, messages)
    if status != "awaiting_user":
        raise DemoFailed(f"the model was to ask, but the reply's status is {status}")
    say("question", _content(message), "bold yellow")
    if kill:
        gateway.stop(signal.SIGKILL)
        gateway.start()
        console.print("           [red](the gateway was killed with -9 here and started again)[/]")
    messages += [message, {"role": "user", "content": example["missing"]}]
    say("user", example["missing"])
    message, status = ask(client, messages)
    if status != "completed":
        raise DemoFailed(f"the reasoning was to end, but the reply's status is {status}: {_content(message)}")
    say("answer", _content(message), "bold green")
    boxed = re.search(r"\\boxed\{(.*?)\}", _content(message))
    if boxed is None or boxed.group(1) != example["gold"]:
        raise DemoFailed(f"the right answer is {example['gold']}")


def _content(message: Any) -> str:
    return str(message["content"] if isinstance(message, dict) else message.content)


def main() -> int:
    examples = [json.loads(line) for line in (BUILTIN_MODEL / "examples.jsonl").read_text().splitlines()]
    try:
        with fresh_gateway() as gateway:
            console.print(f"[dim]gateway with the built-in model at {gateway.url}[/]\n\n[underline]A plain exchange[/]")
            exchange(gateway, examples[0], stream=False)
            console.print("\n[underline]Streamed[/]")
            exchange(gateway, examples[1], stream=True)
            console.print("\n[underline]Killed between question and answer[/]")
            exchange(gateway, examples[2], stream=True, kill=True)
    except (DemoFailed, KeyboardInterrupt) as error:
        console.print(f"[bold red]demo failed:[/] {escape(str(error) or 'interrupted')}")
        return 1
    console.print("\n[bold green]every step held[/]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
