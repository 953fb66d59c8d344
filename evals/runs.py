"""A run's folder: what was run, on which rows, and every conversation as it ended.

    run.json           the manifest: model, server, sampling, simulator, tasks with versions and data hashes, versions, times
    rows.jsonl         the rows played, a line each
    transcripts.jsonl  appended as conversations end; of two lines with one key the later counts
    results.json       lm-eval's results

The folder can be taken up again after a stop of any kind: what has a line is not played again. A last line that a kill cut
short is dropped. One process at a time writes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from evals.rows import Row, Transcript

SCHEMA = 1
MANIFEST, ROWS, TRANSCRIPTS, RESULTS = "run.json", "rows.jsonl", "transcripts.jsonl", "results.json"


class RunError(Exception):
    """A run's folder cannot be used as asked; the text says what to do."""


def digest(value: Any) -> str:
    """Short hash of anything JSON can say; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was left: what reports read."""

    folder: Path
    manifest: Mapping[str, Any]
    rows: tuple[Row, ...]
    transcripts: tuple[Transcript, ...]


def read_run(folder: Path) -> Run:
    """A run's folder.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise RunError(f"{folder} is no run: it has no {MANIFEST}; `pir eval run -o {folder}` makes one")
    return Run(folder, manifest, _read_rows(folder / ROWS), tuple(_read_transcripts(folder / TRANSCRIPTS)[0].values()))


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise RunError(f"{folder / MANIFEST} is of another schema; this version reads {SCHEMA}")
    return manifest


def _lines(file: Path) -> tuple[list[Any], int]:
    """The values of a JSON-lines file, and the bytes they take; a last line without its end is left out.

    Raises:
        RunError: a line in the middle is no JSON.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return [], 0
    whole = data[: data.rfind(b"\n") + 1]
    try:
        return [json.loads(line) for line in whole.splitlines() if line.strip()], len(whole)
    except ValueError as error:
        raise RunError(f"{file} is damaged: {error}") from error


def _read_transcripts(file: Path) -> tuple[dict[str, Transcript], int]:
    values, size = _lines(file)
    try:
        found = [Transcript.from_json(value) for value in values]
    except (KeyError, TypeError) as error:
        raise RunError(f"{file} was written by another version: {error}") from error
    return {transcript.key: transcript for transcript in found}, size


def _read_rows(file: Path) -> tuple[Row, ...]:
    try:
        return tuple(Row.from_json(value) for value in _lines(file)[0])
    except (KeyError, TypeError) as error:
        raise RunError(f"{file} was written by another version: {error}") from error


class RunWriter:
    """A run's folder, open for one process. Use as a context manager."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], info: Mapping[str, Any], rows: Sequence[Row]) -> None:
        """Opens the folder, or takes it up again.

        `identity` is what may not change between the two (model, sampling, simulator); `info` may. Tasks and rows
        are added to those that the folder has.

        Raises:
            RunError: the folder belongs to another run, is damaged, or is being written by another process.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / TRANSCRIPTS).open("ab")
        except OSError as error:
            raise RunError(f"{folder} cannot be written: {error.strerror or error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise RunError(f"another process is writing to {folder}; wait for it, or choose another folder") from error
        try:
            self.transcripts, size = _read_transcripts(folder / TRANSCRIPTS)
            self._file.truncate(size)
            self._begin(identity, info, rows)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, identity: Mapping[str, Any], info: Mapping[str, Any], rows: Sequence[Row]) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = _read_manifest(self.folder)
        if manifest is None:
            if self.transcripts:
                raise RunError(f"{self.folder} has conversations but no {MANIFEST}; choose another folder")
            manifest = {"schema": SCHEMA, "created": now, "identity": dict(identity), "tasks": {}}
        if changed := _differences(manifest["identity"], identity):
            raise RunError(f"{self.folder} holds another run ({'; '.join(changed)}); choose another folder with -o")
        known = {(row.task, row.row_id): row for row in _read_rows(self.folder / ROWS)}
        for row in rows:
            before = known.setdefault((row.task, row.row_id), row)
            if before is not row and digest(before.to_json()) != digest(row.to_json()):
                raise RunError(
                    f"{self.folder} was run on other data: row {row.row_id} of {row.task} has changed; choose another "
                    "folder with -o"
                )
        _write(self.folder / ROWS, "".join(_line(row.to_json()) for row in known.values()))
        self._manifest = manifest | dict(info) | {"updated": now}
        self._manifest["tasks"] = describe_tasks(known.values(), manifest["tasks"] | dict(info.get("tasks", {})))
        self._save_manifest()

    def _save_manifest(self) -> None:
        _write(self.folder / MANIFEST, json.dumps(self._manifest, indent=1, ensure_ascii=False) + "\n")

    def add(self, transcript: Transcript) -> None:
        """Appends a conversation, in one write, so that a kill loses at most this line."""
        self.transcripts[transcript.key] = transcript
        self._file.write(_line(transcript.to_json()).encode())
        self._file.flush()

    def update(self, **info: Any) -> None:
        """Puts more into the manifest."""
        self._manifest |= info
        self._save_manifest()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.fsync(self._file.fileno())
        self._file.close()


def describe_tasks(rows: Iterable[Row], tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """`tasks` with the number and the hash of the rows of each, whatever order they stand in."""
    hashes: dict[str, dict[str, str]] = {}
    for row in rows:
        hashes.setdefault(row.task, {})[row.row_id] = digest(row.to_json())
    return {
        task: {**tasks.get(task, {}), "num_rows": len(of_rows), "data_sha": digest(of_rows)}
        for task, of_rows in hashes.items()
    }


def environment() -> dict[str, Any]:
    """What a run was made with, for whoever has to make it again."""
    packages = ("pir-serve", "lm-eval", "datasets", "math-verify", "openai")
    return {
        "command": _without_secrets(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in packages},
    }


def _without_secrets(command: Sequence[str]) -> list[str]:
    """Keys after their options, in options of ours or lm-eval's, and in addresses."""
    hidden = re.compile(r"(?i)((?:api[_-]?key|token)\w*=)[^,\s]+|(?<=//)[^/@\s]+(?=@)")
    return [
        "***" if re.fullmatch(r"(?i)--\S*(?:key|token)", before) else hidden.sub(r"\1***", word)
        for before, word in zip(("", *command), command, strict=False)
    ]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} was {json.dumps(before.get(name))} and is {json.dumps(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _line(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n"
    if any("\ud800" <= c <= "\udfff" for c in text):  # half a character, which models write: UTF-8 has no such thing
        text = json.dumps(data, separators=(",", ":")) + "\n"
    return text


def _write(file: Path, text: str) -> None:
    """Replaces a file whole, or not at all."""
    temporary = file.with_suffix(".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
