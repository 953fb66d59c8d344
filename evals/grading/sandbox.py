"""Runs a solution against its tests in the strongest sandbox that the machine allows.

Levels, strongest first; each has rlimits, an empty environment and a time limit on top:

bwrap        bubblewrap: namespaces of its own, a private file system, no network; not as root, whom limits do not bind
namespaces   the same with `unshare`, `mount` and `pivot_root`; as root, under a user id of its own
rlimits      neither: the solution could read and write files, and reach the network, as the user who grades

The verdict is a token on a private pipe that the solution's process does not have; exit codes mean nothing.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

Level = Literal["bwrap", "namespaces", "rlimits"]
LEVELS: tuple[Level, ...] = get_args(Level)

TIMEOUT_S = 10.0
START_TIMEOUT_S = 30.0
"""For the sandbox itself to start, on a busy machine."""
LIMITS = {
    "RLIMIT_AS": 1 << 30,
    "RLIMIT_CPU": 20,
    "RLIMIT_FSIZE": 16 << 20,
    "RLIMIT_NOFILE": 128,
    "RLIMIT_NPROC": 32,
    "RLIMIT_CORE": 0,
}
"""Of the solution's processes; bytes, seconds, counts."""

_HERE = Path(__file__).parent
_MAX_VERDICT_BYTES = 10_000
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "LANG": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "HOME": "/tmp",
}


class SandboxError(Exception):
    """The sandbox did not start; nothing is known of the solution."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one solution."""

    passed: bool
    timed_out: bool
    reason: str
    """Why it did not pass; empty if it did."""
    level: Level


@cache
def strongest_level() -> Level:
    """The first level in which a right solution passes here."""
    for level in LEVELS:
        try:
            if run_tests("def one():\n    return 1", "assert one() == 1", "one", level=level).passed:
                return level
        except SandboxError:
            continue
    raise SandboxError("not even a sandbox of resource limits starts here")


def run_tests(
    solution: str,
    tests: str,
    entry_point: str,
    *,
    setup: str = "",
    timeout_s: float = TIMEOUT_S,
    level: Level | None = None,
) -> Outcome:
    """Runs `tests` against the function `entry_point` of `solution`; `setup` (imports, helpers) precedes both.

    Tests that call the function run in a process of their own and see only plain data of what it returns. Tests of
    `unittest` patch and inspect, so they run in the solution's own process, which a determined solution could
    deceive.

    Raises:
        SandboxError: the sandbox did not start.
    """
    level = level or strongest_level()
    token = secrets.token_hex(16)
    job = {
        "token": token,
        "solution": solution,
        "tests": tests,
        "setup": setup,
        "entry_point": entry_point,
        "in_process": "unittest" in tests,
        "limits": LIMITS,
        "source": _source("inside.py"),
    }
    said, timed_out = _play(job, level, timeout_s)
    lines = [line.removeprefix(token).strip() for line in said.splitlines() if line.startswith(token)]
    if not lines:
        raise SandboxError(f"the sandbox of level {level} did not start within {START_TIMEOUT_S} s")
    verdict = lines[-1]
    if verdict == "ready":
        verdict = f"not done within {timeout_s} s" if timed_out else "ended without a verdict"
    passed = verdict == "pass"
    return Outcome(passed, timed_out and not passed, "" if passed else verdict.removeprefix("fail "), level)


def _play(job: dict[str, Any], level: Level, timeout_s: float) -> tuple[str, bool]:
    """What came over the verdict pipe, and whether time ran out."""
    read_end, write_end = os.pipe()
    try:
        with tempfile.TemporaryDirectory(prefix="pir-sandbox-") as folder:
            process = _start(level, folder, write_end)
            try:
                return _verdict(process, json.dumps(job).encode(), read_end, timeout_s)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    finally:
        os.close(read_end)


def _start(level: Level, folder: str, verdict: int) -> subprocess.Popen[bytes]:
    """The tester's process; `verdict`, which it writes to, is closed here."""
    try:
        if level == "bwrap" and os.geteuid() == 0:
            raise SandboxError("bwrap would run the solution as root, whom no limit on processes binds")
        return subprocess.Popen(
            [*_prefix(level, folder), sys.executable, "-I", "-c", _source("inside.py"), "tester", str(verdict)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[verdict],
            env=_ENVIRONMENT,
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"the sandbox of level {level} cannot be started: {error}") from error
    finally:
        os.close(verdict)


def _verdict(process: subprocess.Popen[bytes], job: bytes, pipe: int, timeout_s: float) -> tuple[str, bool]:
    assert process.stdin is not None
    with process.stdin, suppress(BrokenPipeError):
        process.stdin.write(job)
    said, end, started = b"", time.monotonic() + START_TIMEOUT_S, False
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return said.decode(errors="replace"), started
        chunk = os.read(pipe, _MAX_VERDICT_BYTES)
        said += chunk
        # One line says that it has started, one the verdict; the tester has no more to say.
        if not chunk or said.count(b"\n") >= 2 or len(said) > _MAX_VERDICT_BYTES:
            return said.decode(errors="replace"), False
        if not started:
            started, end = True, time.monotonic() + timeout_s


@cache
def _source(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _prefix(level: Level, folder: str) -> list[str]:
    """The command that the sandboxed one is an argument of."""
    if level == "rlimits":
        return []
    if level == "bwrap":
        binds = [word for place in _needed() for word in _bwrap_bind(place)]
        base = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"]
        own = ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--remount-ro", "/dev", "--remount-ro", "/"]
        return [*base, *binds, *own, "--chdir", "/tmp", "--"]
    unshare = ["unshare", "--net", "--ipc", "--uts", "--mount", "--pid", "--fork", "--kill-child"]
    drop = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    if os.geteuid() == 0:
        # Limits on processes do not bind root: as somebody whom nobody else is.
        user = str(200_000 + secrets.randbelow(1_000_000_000))
        drop += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    else:
        unshare += ["--user", "--map-root-user"]
    return [*unshare, "sh", "-c", _source("private_root.sh"), "sh", folder, " ".join(_needed()), *drop]


def _bwrap_bind(place: str) -> list[str]:
    if Path(place).is_symlink():
        return ["--symlink", str(Path(place).readlink()), place]
    return ["--ro-bind", place, place]


@cache
def _needed() -> tuple[str, ...]:
    """Folders without which Python does not run; none of them holds data of ours."""
    candidates = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives", sys.base_prefix, sys.prefix]
    found: list[str] = []
    for place in candidates:
        inside = any(place == other or place.startswith(other + "/") for other in found)
        if Path(place).exists() and not inside:
            found.append(place)
    return tuple(found)
