"""The processes of a measurement: the mock engine and the real gateway, each on a core of its own where there are
enough, with the CPU time and memory that they use."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.mock_script import MODEL
from pir_serve import __version__

START_TIMEOUT_S = 120.0
_URL = re.compile(r"http://127\.0\.0\.1:\d+")


class StartFailed(Exception):
    """A process ended or kept silent instead of telling its address."""


@dataclass(frozen=True)
class Started:
    """A running process that has told its address."""

    url: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """CPU time used so far, user and system, all threads; the kernel counts it in steps of about 10 ms."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss_bytes(self) -> int:
        return int(self.process.memory_info().rss)


@dataclass(frozen=True)
class Cores:
    """Which core each side runs on; empty: wherever the system puts it."""

    gateway: tuple[int, ...] = ()
    engine: tuple[int, ...] = ()
    client: tuple[int, ...] = ()

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The gateway alone on one; engine and client share one where there are two."""
        if not hasattr(os, "sched_getaffinity"):
            return cls()
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            return cls()
        return cls((cores[0],), (cores[1],), (cores[2] if len(cores) > 2 else cores[1],))

    def __str__(self) -> str:
        if not self.gateway:
            return "not pinned"
        return f"gateway on core {self.gateway[0]}, engine on {self.engine[0]}, client on {self.client[0]}"


@contextlib.contextmanager
def pinned(cores: tuple[int, ...]) -> Iterator[None]:
    """This thread, and what it starts, runs on `cores` for a while; none: wherever it may."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def mock_engine(tokenizer: Path, cores: tuple[int, ...]) -> Iterator[Started]:
    """Raises: StartFailed."""
    arguments = ["-m", "benchmarks.mock_engine", "--tokenizer", str(tokenizer)]
    with _running(arguments, cores) as started:
        yield started


@contextlib.contextmanager
def real_engine(kind: str, python: str, model_dir: Path, model: str, context: int = 2048) -> Iterator[Started]:
    """A `vllm` or `sglang` on the CPU, from the venv of `python`, with room for `context` tokens. Raises: StartFailed."""
    arguments = ["-m", "tests.engines.servers", kind, python, str(model_dir), "0", model, str(context)]
    with _running(arguments, ()) as started:
        yield started


@contextlib.contextmanager
def gateway(
    engine_url: str,
    tokenizer: Path,
    cores: tuple[int, ...],
    model: str = MODEL,
    *,
    kind: str = "vllm",
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Started]:
    """`pir serve` over an engine of `kind`, with a store of its own (in `folder`, if given) and the `PIR_*` `variables`.

    Raises: StartFailed.
    """
    flags = ["--engine", kind, "--engine-url", engine_url, "--model", model, "--tokenizer", str(tokenizer)]
    with _pir_serve(flags, cores, folder, variables) as started:
        yield started


@contextlib.contextmanager
def local_gateway(model_dir: Path) -> Iterator[Started]:
    """`pir serve` with a model in its own process, as `make serve` starts it. Raises: StartFailed."""
    with _pir_serve(["--engine", "local", "--model", str(model_dir)], ()) as started:
        yield started


@contextlib.contextmanager
def _pir_serve(
    flags: Sequence[str],
    cores: tuple[int, ...],
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Started]:
    with tempfile.TemporaryDirectory(prefix="pir-bench-") as own:
        store = ["--store", str((folder or Path(own)) / "pir.db"), "--port", "0", "--log-level", "warning"]
        with _running(["-m", "pir_serve.cli", "serve", *flags, *store], cores, variables) as started:
            yield started


@contextlib.contextmanager
def _running(
    arguments: Sequence[str], cores: tuple[int, ...], variables: Mapping[str, str] | None = None
) -> Iterator[Started]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIR_")}
    env |= {"OMP_NUM_THREADS": "1", **(variables or {})}
    with tempfile.TemporaryFile() as errors:
        with pinned(cores):  # children begin where their parent runs
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=env,
                cwd=Path(__file__).parents[1],
            )
        try:
            yield Started(_address(process), psutil.Process(process.pid))
        except StartFailed as error:
            errors.seek(0)
            raise StartFailed(f"{error}: {errors.read()[-2000:].decode(errors='replace')}") from None
        finally:
            _stop(process)


def _address(process: subprocess.Popen[bytes]) -> str:
    """From the first line that the process prints. Its pipe is read no further: both print next to nothing."""
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    found = _URL.search(line)
    if found is None:
        process.kill()
        raise StartFailed(f"{' '.join(map(str, process.args))[-300:]} printed {line!r} instead of its address")  # type: ignore[arg-type]
    return found[0]


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


class Busyness:
    """How much of the machine others used while we measured: what decides how far the figures can be trusted."""

    def __init__(self) -> None:
        self.load_before = os.getloadavg()[0]
        self._began = time.monotonic()
        self._busy = _busy_s()
        self._ours_before = _own_s()
        self._ours = 0.0

    def add(self, started: Started) -> None:
        """Count a process of ours that is about to end."""
        self._ours += started.cpu_s()

    def others_share(self) -> float:
        """CPU time of all other processes, as a share of the whole machine's."""
        ours = self._ours + _own_s() - self._ours_before
        wall_s = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return max(0.0, _busy_s() - self._busy - ours) / wall_s


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own_s() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


def cpu_name() -> str:
    """As the system calls its processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def page_head(title: str, module: str) -> str:
    """Of a page in Markdown that a harness prints: what printed it, when, where, and how busy the machine was at its start."""
    when = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC"
    load = os.getloadavg()[0]
    return (
        f"# {title}\n\nPrinted by `python -m benchmarks.{module}` on {when}, pir-serve {__version__}; {os.cpu_count()} cores, "
        f"{cpu_name()}, Python {platform.python_version()}; load average {load:.1f} at start.\n"
    )
