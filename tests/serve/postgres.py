"""A real PostgreSQL for tests: a server of our own in a folder of its own, reached over a Unix socket only.

python -m tests.serve.postgres     # runs one that keeps what it has acknowledged, for benchmarks, until interrupted
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

_numbers = itertools.count()


class PostgresServer:
    """A new schema for whoever asks; can be stopped and started again."""

    def __init__(self, programs: Path, folder: Path, user: str | None, *, durable: bool = False) -> None:
        self._programs = programs
        self._folder = folder
        self._user = user
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"postgresql://pir@/postgres?host={folder}"

    def make(self) -> None:
        command = ["initdb", "--username=pir", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        self._run([*command, "--pgdata", str(self._folder / "data")])

    def start(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "fsync": "on" if self._durable else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options]
        self._process = subprocess.Popen(command, user=self._user, stderr=subprocess.DEVNULL, cwd=self._folder)
        deadline = time.monotonic() + 30
        while subprocess.run([self._programs / "pg_isready", "-q", "-h", self._folder], check=False).returncode:
            assert self._process.poll() is None and time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.05)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def stop(self) -> None:
        """At once, without waiting for those who are connected."""
        self.process.send_signal(signal.SIGQUIT)  # "immediate shutdown"
        self.process.wait(20)

    def store(self, **options: Any) -> Any:
        """Of an empty schema, unless one is named; not started yet."""
        from pir_serve.store.postgres import PostgresStore

        return PostgresStore(self.address, **{"schema": self.new_schema(), **options})

    def database(self) -> str:
        """The address of an empty database."""
        import psycopg

        name = f"db_{next(_numbers)}"
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address.replace("/postgres?", f"/{name}?")

    def new_schema(self) -> str:
        return f"pir_{next(_numbers)}"

    def everyone(self) -> list[psutil.Process]:
        """All processes of the server."""
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def _run(self, command: list[str]) -> None:
        program = str(self._programs / command[0])
        subprocess.run(
            [program, *command[1:]], user=self._user, check=True, stdout=subprocess.DEVNULL, cwd=self._folder
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    pytest.importorskip("psycopg")
    with postgres_server() as server:
        if server is None:
            pytest.skip("no PostgreSQL server is installed (Debian: apt install postgresql)")
        yield server


@contextlib.contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer | None]:
    """None where none is installed."""
    programs = _programs()
    if programs is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="pir-pg-"))  # short: a socket's path may have a hundred characters
    user = "nobody" if os.getuid() == 0 else None  # PostgreSQL refuses to be root
    if user:
        shutil.chown(folder, user)
    server = PostgresServer(programs, folder, user, durable=durable)
    try:
        server.make()
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """The folder of the newest server that is installed."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return installed[-1].parent if installed else None


def main() -> None:
    with postgres_server(durable=True) as server:
        if server is None:
            sys.exit("no PostgreSQL server is installed (Debian: apt install postgresql)")
        print(server.address, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.process.wait()


if __name__ == "__main__":
    main()
