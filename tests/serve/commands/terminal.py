"""A command in a real pseudo-terminal, seen through a terminal emulator: what is on the screen, and how it looks."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyte

WAIT_S = 20.0


class Terminal:
    """Keys in, a screen out. The emulator answers what programs ask a terminal, as a real one does."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int, columns: int, lines: int) -> None:
        self.process = process
        self._fd = fd
        self._screen = pyte.Screen(columns, lines)
        self._screen.write_process_input = self.type
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).strip()

    @property
    def shows_cursor(self) -> bool:
        return not self._screen.cursor.hidden

    @property
    def echoes(self) -> bool:
        """Whether the terminal is as a shell expects it: lines are edited by the system, and shown as typed."""
        flags = termios.tcgetattr(self._fd)[3]
        return bool(flags & termios.ECHO and flags & termios.ICANON)

    def colour_of(self, text: str) -> str:
        """Of its first character, where it stands last on the screen."""
        for y in range(self._screen.lines - 1, -1, -1):
            x = self._screen.display[y].find(text)
            if x >= 0:
                return str(self._screen.buffer[y][x].fg)
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text}")

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def wait_for(self, text: str, *, times: int = 1) -> None:
        deadline = time.monotonic() + WAIT_S
        while self.text.count(text) < times:
            assert time.monotonic() < deadline, f"no {text!r} on the screen:\n{self.text}"
            self._read(0.05)

    def end(self) -> int:
        """Waits for the end of the program; its exit code."""
        deadline = time.monotonic() + WAIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
            self._read(0.05)
        while self._read(0.0):
            pass
        return int(self.process.returncode)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # nothing has the other side open any more
            return False
        self.raw += data
        self._stream.feed(data)
        return True


def _take_terminal() -> None:
    """So that Ctrl-C reaches the program as a signal."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@contextmanager
def pir_in_terminal(*arguments: str, columns: int = 80, lines: int = 40) -> Iterator[Terminal]:
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR", "OPENAI_API_KEY")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pir_serve.cli", *arguments],
        stdin=there, stdout=there, stderr=there, env=env | {"TERM": "xterm-256color"},
        start_new_session=True, preexec_fn=_take_terminal,  # noqa: PLW1509  # one system call, no locks
    )  # fmt: skip
    try:
        yield Terminal(process, here, columns, lines)
    finally:
        process.kill()
        process.wait()
        os.close(here)
        os.close(there)
