"""Runs a gateway as a process: listens, starts, serves until told to stop, and closes what it opened."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from pir_serve.api.app import create_app
from pir_serve.api.gateway import Gateway
from pir_serve.api.presence import Turnstile
from pir_serve.api.reload import Reloader
from pir_serve.errors import ConfigError
from pir_serve.settings import Settings

logger = logging.getLogger(__name__)


def run(
    gateway: Gateway,
    on_started: Callable[[int], None] = lambda port: None,
    *,
    reloader: Reloader | None = None,
    listener: socket.socket | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; a second one does not wait for running replies. `on_started` gets the port.

    `reloader` is used on SIGHUP and watches its file. `listener`: one that listens already, for several processes.

    Raises:
        ConfigError: the port is taken. StoreError, EngineUnavailable: a part cannot start.
    """
    with contextlib.closing(listener or listen(gateway.settings)) as at:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_serve(gateway, at, on_started, reloader))
        except asyncio.CancelledError:
            pass  # told to stop before it had started


async def _serve(
    gateway: Gateway, listener: socket.socket, on_started: Callable[[int], None], reloader: Reloader | None
) -> None:
    server, loop = GatewayServer(gateway, listener), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)

    def started(port: int) -> None:
        if reloader is not None:
            gateway.spawn(reloader.watch())
            if hasattr(signal, "SIGHUP"):  # not on Windows
                loop.add_signal_handler(signal.SIGHUP, lambda: gateway.spawn(_reload(reloader)))
        on_started(port)

    await server.run(started)


async def _reload(reloader: Reloader) -> None:
    await reloader.reload()


class GatewayServer:
    """A gateway on a port, in the running loop; `run` gives it a process."""

    def __init__(self, gateway: Gateway, listener: socket.socket) -> None:
        self._gateway = gateway
        self._listener = listener
        self._running: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        app = Turnstile(create_app(gateway, manage=False), gateway.presence)
        self._uvicorn = _Uvicorn(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                ws_max_size=gateway.settings.max_body_bytes,
                proxy_headers=False,  # nothing here depends on the client's address
                timeout_graceful_shutdown=1,  # for what was told to end
            )
        )

    async def run(self, on_started: Callable[[int], None]) -> None:
        """Until `stop`. Raises: StoreError, EngineUnavailable, ConfigError: a part cannot start."""
        self._running = asyncio.current_task()
        async with self._gateway.running():
            # What start-up has made stays for good. Looking through it for garbage would stop all streams, for tens of
            # milliseconds each time.
            gc.collect()
            gc.freeze()
            on_started(self._listener.getsockname()[1])
            await self._uvicorn.serve(sockets=[self._listener])

    def stop(self) -> None:
        """Drain: nothing new (503, and `/ready` says so), what runs may end within `Settings.shutdown_s`, and is told
        and cut off then. A second call does not wait."""
        if not self._uvicorn.started:
            assert self._running is not None
            self._running.cancel()
        elif self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        else:
            self._uvicorn.should_exit = self._uvicorn.force_exit = True

    async def _drain(self) -> None:
        """The port stays open meanwhile: a balancer that asks is told, instead of being refused."""
        presence, wait_s = self._gateway.presence, self._gateway.settings.shutdown_s
        presence.is_draining = True
        if presence.num_live:
            logger.info("stopping: %d replies may end within %g s", presence.num_live, wait_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await presence.quiet()
        self._uvicorn.should_exit = True


class _Uvicorn(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again at the end, and the process would die with all open."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; is another gateway running? "
            "Choose another port with --port (0 picks a free one)"
        ) from None
    listener.setblocking(False)
    return listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # Windows
        return None
    return uvloop.new_event_loop
