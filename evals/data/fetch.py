"""Data sets on this machine: downloaded once, resumed where a download broke, checked against their sha256."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from evals.data.registry import DataError, DataSet

State = Literal["missing", "verified", "recorded", "changed", "partial"]
"""`verified`: its sha256 is the registry's; `recorded`: the registry has none, and it is as first fetched; `changed`: it
is neither."""

_CHUNK = 1 << 16
Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and in all (None: unknown)."""


def cache_folder() -> Path:
    """Where data sets lie: `PIR_DATA`, or `pir/data` in the user's cache folder."""
    chosen = os.environ.get("PIR_DATA")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "pir" / "data"


@dataclass(frozen=True, slots=True)
class Held:
    """What this machine has of a data set."""

    state: State
    path: Path
    sha256: str = ""
    bytes: int = 0


def held(dataset: DataSet, folder: Path | None = None) -> Held:
    """What is there; reads the whole file, to hash it."""
    path = (folder or cache_folder()) / dataset.filename
    if not path.is_file():
        part = _part(path)
        return Held("partial", path, bytes=part.stat().st_size) if part.is_file() else Held("missing", path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    expected = dataset.sha256 or _recorded(path).get("sha256")
    state: State = "changed" if digest != expected else "verified" if dataset.sha256 else "recorded"
    return Held(state, path, digest, path.stat().st_size)


def fetch(dataset: DataSet, folder: Path | None = None, progress: Progress = lambda done, total: None) -> Held:
    """Downloads a data set unless it is there and right; goes on where an earlier download broke off.

    Raises:
        DataError: the host cannot be reached or refuses, or what came has another sha256 (it is then deleted).
    """
    here = held(dataset, folder)
    if here.state in ("verified", "recorded"):
        return here
    here.path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(here.path)
    revision = _download(dataset.url, part, progress)
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    expected = dataset.sha256 or _recorded(here.path).get("sha256")
    if expected and digest != expected:
        part.unlink()
        raise DataError(
            f"{dataset.name}: what came from {dataset.url} has sha256 {digest}, not {expected}; it is deleted"
        )
    size = part.stat().st_size
    record = {"url": dataset.url, "sha256": digest, "bytes": size, "revision": dataset.revision or revision}
    _record_file(here.path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    part.replace(here.path)
    return Held("verified" if dataset.sha256 else "recorded", here.path, digest, size)


def available(dataset: DataSet, folder: Path | None = None) -> Path:
    """The data set's file on this machine.

    Raises:
        DataError: it is not there, or is not what it was; says how to get it.
    """
    here = held(dataset, folder)
    if here.state in ("verified", "recorded"):
        return here.path
    if here.state == "changed":
        raise DataError(
            f"{here.path} is not the data set {dataset.name}: its sha256 is {here.sha256}; "
            f"`pir eval data fetch {dataset.name}` gets it again"
        )
    raise DataError(
        f"the data set {dataset.name} is not on this machine: `pir eval data fetch {dataset.name}` downloads it "
        f"(licence: {dataset.license}), or give its file with --data FILE"
    )


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _record_file(path: Path) -> Path:
    return path.with_name(path.name + ".fetched.json")


def _recorded(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(_record_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _download(url: str, part: Path, progress: Progress) -> str:
    """Fills `part`, from where it ends; the host's word for the revision, if it has one."""
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                done = 0
            length = response.headers.get("Content-Length")
            total = done + int(length) if length else None
            with part.open("ab" if done else "wb") as file:
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    progress(done, total)
            if total is not None and done < total:
                raise DataError(f"{url} broke off after {done} of {total} bytes; fetch again to go on")
            return response.headers.get("X-Repo-Commit") or ""
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
            return ""  # all of it was there; its sha256 will tell
        raise DataError(f"{url} answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise DataError(f"{url} cannot be reached: {getattr(error, 'reason', error)}; fetch again to go on") from error
