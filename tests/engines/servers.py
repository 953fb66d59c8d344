"""Starts and stops real vLLM and SGLang servers on the CPU, for the contract tests and the benchmarks.

python -m tests.engines.servers vllm VENV_PYTHON MODEL_DIR [PORT [NAME [CONTEXT]]]     # runs until interrupted
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "SGLANG_USE_CPU_ENGINE": "1",
}
_VLLM_FLAGS = (
    "--max-model-len {context} --dtype float32 --enforce-eager --gpu-memory-utilization 0.3 --block-size 32 "
    "--max-num-seqs 64 --enable-prompt-tokens-details"
)
_SGLANG_FLAGS = (
    "--device cpu --dtype float32 --context-length {context} --max-total-tokens 16384 --sleep-on-idle "
    "--enable-metrics --enable-cache-report"
)


@dataclass(frozen=True)
class RealServer:
    kind: str
    """vllm or sglang."""
    url: str
    model: str
    log: Path
    process: subprocess.Popen[bytes]
    start_s: float
    """Seconds from launch to the first healthy reply."""

    def kill(self) -> None:
        """End the whole process group at once, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def command(kind: str, python: str, model_dir: Path, model: str, port: int, context: int = 2048) -> list[str]:
    if kind == "vllm":
        module, named = "vllm.entrypoints.openai.api_server", ["--model", str(model_dir)]
        flags = _VLLM_FLAGS.split()
    elif kind == "sglang":
        module, named = "sglang.launch_server", ["--model-path", str(model_dir)]
        flags = _SGLANG_FLAGS.split()
    else:
        raise ValueError(f"{kind!r} is neither vllm nor sglang")
    where = ["--served-model-name", model, "--host", "127.0.0.1", "--port", str(port)]
    return [python, "-m", module, *named, *where, *(flag.format(context=context) for flag in flags)]


@contextlib.contextmanager
def serving(
    kind: str,
    python: str,
    model_dir: Path,
    log: Path,
    *,
    model: str = "tiny",
    port: int = 0,
    context: int = 2048,
    timeout_s: float = 900,
) -> Iterator[RealServer]:
    """A server that is ready; its process group is dead afterwards, its log stays at `log`.

    `timeout_s` is generous: start-up is 30-60 CPU-seconds of imports, of which a busy machine makes many minutes.

    Raises:
        RuntimeError: it died or was not ready in time; the message ends with its log's last lines.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command(kind, python, model_dir, model, port, context),
            stdout=sink,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **_ENVIRONMENT},
            start_new_session=True,
        )
    server = RealServer(kind, url, model, log, process, 0.0)
    try:
        ready = "/health" if kind == "vllm" else "/health_generate"
        while not _answers(url + ready):
            if process.poll() is not None or time.monotonic() - began > timeout_s:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
                raise RuntimeError(f"{kind} did not become ready (exit status {process.poll()}); {log} ends:\n{tail}")
            time.sleep(0.5)
        object.__setattr__(server, "start_s", time.monotonic() - began)
        yield server
    finally:
        server.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kind, python, model_dir = sys.argv[1:4]
    port = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    name = sys.argv[5] if len(sys.argv) > 5 else "tiny"
    context = int(sys.argv[6]) if len(sys.argv) > 6 else 2048
    log = Path(tempfile.gettempdir()) / f"pir-{kind}-{os.getpid()}.log"
    with serving(kind, python, Path(model_dir), log, model=name, port=port, context=context) as server:
        print(f"{kind} ready at {server.url} after {server.start_s:.0f} s; Ctrl-C stops it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.process.wait()


if __name__ == "__main__":
    main()
