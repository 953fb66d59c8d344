"""Signs of life: which process still runs, told by locks on files that the system lets go when their holder dies.

A kill -9 is noticed at once, without clocks or heartbeats; the database file, too, can only be used on one host.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from pathlib import Path

from pir_serve.errors import StoreError


class FileOwner:
    """This process, for as long as it holds the lock on `<path>.<id>.live`; without a path nobody else can ask."""

    def __init__(self, path: Path | None) -> None:
        self.id = secrets.token_hex(8)
        self._path = path
        self._descriptor: int | None = None

    def hold(self) -> None:
        """From now on, once and for all. Raises: StoreError."""
        if self._path is None or self._descriptor is not None:
            return
        try:
            self._descriptor = os.open(_sign(self._path, self.id), os.O_RDWR | os.O_CREAT, 0o600)
            _lock(self._descriptor)
        except OSError as error:
            raise StoreError(f"cannot lock a file beside the store {self._path}: {error}") from error

    def release(self) -> None:
        if self._path is not None and self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            _sign(self._path, self.id).unlink(missing_ok=True)

    def is_dead(self, other: str) -> bool:
        """Whether the process with this id is no more."""
        if other == self.id or self._path is None:
            return False
        sign = _sign(self._path, other)
        try:
            descriptor = os.open(sign, os.O_RDWR)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            _lock(descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        with contextlib.suppress(OSError):  # another has been as quick
            sign.unlink()
        return True


def _sign(path: Path, owner: str) -> Path:
    return path.with_name(f"{path.name}.{owner}.live")


def _lock(descriptor: int) -> None:
    """Raises: OSError, where another holds it."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
