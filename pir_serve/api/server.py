"""Runs a gateway as a process: listens, starts, serves until told to stop, and closes what it opened."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from pir_serve.api.app import create_app
from pir_serve.api.gateway import Gateway
from pir_serve.errors import ConfigError
from pir_serve.settings import Settings


def run(gateway: Gateway, on_started: Callable[[int], None] = lambda port: None) -> None:
    """Serve until SIGINT or SIGTERM; a second one does not wait for running replies. `on_started` gets the port.

    Raises:
        ConfigError: the port is taken. StoreError, EngineUnavailable: a part cannot start.
    """
    with contextlib.closing(_listen(gateway.settings)) as listener:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(_serve(gateway, listener, on_started))
        except asyncio.CancelledError:
            pass  # told to stop before it had started


async def _serve(gateway: Gateway, listener: socket.socket, on_started: Callable[[int], None]) -> None:
    server = _Server(
        uvicorn.Config(
            create_app(gateway, manage=False),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            ws_max_size=gateway.settings.max_body_bytes,
            proxy_headers=False,  # nothing here depends on the client's address
            timeout_graceful_shutdown=max(1, round(gateway.settings.shutdown_s)),
        )
    )
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None

    def stop() -> None:
        if not server.started:
            this.cancel()
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    async with gateway.running():
        # What start-up has made stays for good. Looking through it for garbage would stop all streams, for tens of
        # milliseconds each time.
        gc.collect()
        gc.freeze()
        on_started(listener.getsockname()[1])
        await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again at the end, and the process would die with all open."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(settings: Settings) -> socket.socket:
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
