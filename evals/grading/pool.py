"""Comparisons that may hang or eat memory, in worker processes that are killed when they do.

math-verify and sympy have no bound of their own outside a main thread, and some expressions (`9^{9^{9^9}}`) never end.
Safe to call from several threads; a call waits while all workers are busy.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import select
import subprocess
import sys
import time
from functools import cache
from typing import Any

START_TIMEOUT_S = 60.0
"""For a worker to import sympy, on a busy machine."""
MAX_LINE_BYTES = 1_000_000
_CHUNK_BYTES = 65536


class WorkerTimeout(Exception):
    """The worker gave no result in time, or died of the question; it has been killed."""


class _Worker:
    """One `evals.grading.worker` process: a JSON line in, a JSON line out."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "evals.grading.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        try:
            self._read(START_TIMEOUT_S)
        except WorkerTimeout as error:
            raise RuntimeError(f"`{sys.executable} -m evals.grading.worker` does not start") from error

    def ask(self, question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
        except BrokenPipeError as error:
            self.kill()
            raise WorkerTimeout("the worker has gone") from error
        return self._read(timeout_s)

    def _read(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        line, end = b"", time.monotonic() + timeout_s
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            ready = left > 0 and select.select([self._process.stdout], [], [], left)[0]
            chunk = os.read(self._process.stdout.fileno(), _CHUNK_BYTES) if ready else b""
            if not chunk or len(line) > MAX_LINE_BYTES:
                self.kill()
                raise WorkerTimeout(f"no result within {timeout_s} s" if not ready else "the worker died")
            line += chunk
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class WorkerPool:
    """At most `size` workers, each started when first needed and again after it was killed."""

    def __init__(self, size: int) -> None:
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(size):
            self._idle.put(None)

    def ask(self, question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The worker's result.

        Raises:
            WorkerTimeout: there was none within `timeout_s`, not counting the wait for a free worker and its start.
        """
        worker = self._idle.get()
        try:
            worker = worker or _Worker()
            return worker.ask(question, timeout_s)
        except BaseException:
            if worker is not None:
                worker.kill()
            worker = None
            raise
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """Ends the idle workers."""
        idle = [self._idle.get() for _ in range(self._idle.qsize())]
        for worker in idle:
            if worker is not None:
                worker.kill()
            self._idle.put(None)


@cache
def shared_pool() -> WorkerPool:
    """The pool of this process, closed at its end."""
    pool = WorkerPool(min(4, os.cpu_count() or 1))
    atexit.register(pool.close)
    return pool
