"""The web app beside a gateway: `pir ui` in a process of its own, which ends with the gateway."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

HOW = "pip install 'pir-serve[ui]' (in a clone: make setup-ui)"


def is_installed() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("gradio", "ui"))


@contextmanager
def web_app(gateway_url: str) -> Iterator[None]:
    """The web app runs meanwhile; it prints its address when it can be used, and says when the gateway is away.

    A gateway that needs a key is reached with the first of PIR_API_KEY, unless OPENAI_API_KEY names another.

    Raises:
        click.ClickException: what it needs is not installed, or the port is yet to be picked.
    """
    if not is_installed():
        raise click.ClickException(f"--ui needs the web app: {HOW}, or leave --ui out")
    if gateway_url.endswith(":0"):
        raise click.ClickException("--ui needs to know the gateway's port: give one that is not 0")
    key = os.environ.get("PIR_API_KEY", "").split(",")[0].strip() or "none"
    command = [sys.executable, "-m", "pir_serve.cli", "ui", "--base-url", gateway_url, "--while-input"]
    # In a session of its own: Ctrl-C ends the gateway, and the gateway ends it. One that is killed closes the pipe.
    process = subprocess.Popen(
        command, env={"OPENAI_API_KEY": key} | dict(os.environ), start_new_session=True, stdin=subprocess.PIPE
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
