"""Several processes that serve one port: a parent that only listens, starts, watches and ends them.

What a request needs lies in the store (questions, responses and their events, keys) or follows from the secret (keyed
hashes, sealed state, cache partitions, which server a session belongs to): any worker can go on with what another began.
Each worker has for itself: engine connections and what is known of servers' health, and the responses it is making; of
those others see what is in the store. What keys have used they tell each other. A WebSocket stays with its worker, and
steering with it.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from types import FrameType
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from pir_serve.api.build import build_gateway, build_secret
from pir_serve.api.gateway import Gateway
from pir_serve.api.reload import Reloader
from pir_serve.api.server import listen, run
from pir_serve.config import Config, load
from pir_serve.errors import ConfigError, PirError
from pir_serve.telemetry.logs import set_up_logging
from pir_serve.telemetry.metrics import FOLDER_VARIABLE

logger = logging.getLogger(__name__)

_GRACE_S = 15.0
"""Beyond `Settings.shutdown_s`, for a worker to close what it opened."""
_PAUSE_S = 1.0
"""Before a worker that died is replaced: one that dies at once, for ever, must not take a core."""

Announce = Callable[[Gateway, int], None]


def run_workers(config: Config, flags: Mapping[str, Any], announce: Announce) -> None:
    """Serve until SIGINT or SIGTERM, with `Settings.workers` processes. A worker that dies is replaced.

    `announce` is called in one worker, once it serves.

    Raises:
        ConfigError: the port is taken, or the workers cannot start.
    """
    build_secret(config.settings)  # makes the file, if there is none: once, before all workers look for it
    with (
        contextlib.closing(listen(config.settings)) as listener,
        tempfile.TemporaryDirectory(prefix="pir-metrics-") as counted,
    ):
        os.environ[FOLDER_VARIABLE] = counted
        _Parent(config, flags, announce, listener).run()


class _Parent:
    def __init__(self, config: Config, flags: Mapping[str, Any], announce: Announce, listener: socket.socket) -> None:
        self._config = config
        self._flags = dict(flags)
        self._announce: Announce | None = announce
        self._listener = listener
        self._spawn = multiprocessing.get_context("spawn")
        self._has_served = self._spawn.Event()
        """Whether any worker ever has."""
        self._workers: list[BaseProcess] = []
        self._is_stopping = False

    def run(self) -> None:
        """Raises: ConfigError."""
        passed_on = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
        before = {number: signal.signal(number, self._pass_on) for number in passed_on}
        try:
            self._workers = [self._start() for _ in range(self._config.settings.workers)]
            while not self._is_stopping:
                multiprocessing.connection.wait([worker.sentinel for worker in self._workers], timeout=1.0)
                self._replace_dead()
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self) -> BaseProcess:
        given = (self._flags, self._listener, self._announce, self._has_served)
        worker = self._spawn.Process(target=_work, args=given, name="pir worker")
        self._announce = None  # the first one alone speaks
        worker.start()
        return worker

    def _replace_dead(self) -> None:
        """Raises: ConfigError, where one cannot start and none ever could: what is wrong is no passing fault."""
        for k, worker in enumerate(self._workers):
            if worker.is_alive() or self._is_stopping:
                continue
            if not self._has_served.is_set():
                raise ConfigError("the workers could not start; the reason stands above")
            mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # what it had running
            logger.error("worker %s died (exit code %s); another takes its place", worker.pid, worker.exitcode)
            time.sleep(_PAUSE_S)
            self._workers[k] = self._start()

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        """To all workers, as SIGTERM if it ends them."""
        if number == signal.SIGINT:
            number = signal.SIGTERM
        self._is_stopping = self._is_stopping or number == signal.SIGTERM
        for worker in self._workers:
            if worker.is_alive() and worker.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, number)

    def _end(self) -> None:
        deadline = time.monotonic() + self._config.settings.shutdown_s + _GRACE_S
        for worker in self._workers:
            if not self._is_stopping:
                worker.terminate()
            worker.join(max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                logger.error("worker %s does not end: killed", worker.pid)
                worker.kill()
                worker.join()


def _work(flags: dict[str, Any], listener: socket.socket, announce: Announce | None, has_served: Event) -> None:
    """One worker's life. It is started afresh, so it reads the configuration for itself."""
    _leave_signals_to_parent()

    def started(port: int) -> None:
        has_served.set()
        if announce is not None:
            announce(gateway, port)

    try:
        config = load(os.environ, **flags)
        set_up_logging(config.settings.log_level, config.settings.log_format)
        gateway = build_gateway(config.settings, config.models)
        reloader = Reloader(gateway, config, lambda: load(os.environ, **flags))
        run(gateway, started, reloader=reloader, listener=listener)
    except PirError as error:
        logger.error("%s", error)
        raise SystemExit(2) from None


def _leave_signals_to_parent() -> None:
    """Ctrl-C in a terminal reaches a whole group of processes, and would count twice here. A parent that is killed takes
    us along."""
    if hasattr(os, "setsid"):
        os.setsid()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=follow, name="pir-parent", daemon=True).start()
