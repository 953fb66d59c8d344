"""The web app that the gateway starts lives as long as the gateway, however that ends."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.ui.conftest import ROOT, START_S


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_web_app_ends_with_a_gateway_that_is_killed(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pir_serve.cli", "serve", "--ui", "--port", str(port)]
    with (tmp_path / "out").open("w") as out:
        gateway = subprocess.Popen([*command, "--store", str(tmp_path / "pir.db")], cwd=ROOT, stdout=out, stderr=out)
    try:
        until = time.monotonic() + START_S
        while not (found := re.search(r"PIR web app: http://127.0.0.1:(\d+)", (tmp_path / "out").read_text())):
            assert time.monotonic() < until and gateway.poll() is None, (tmp_path / "out").read_text()
            time.sleep(0.1)
        page = int(found[1])
        assert is_listening(page)
        gateway.kill()
        gateway.wait(30)
        until = time.monotonic() + 15
        while is_listening(page) and time.monotonic() < until:
            time.sleep(0.05)
        assert not is_listening(page)
    finally:
        gateway.kill()
        gateway.wait()
