"""What users of `pir eval` type in several commands, as values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click


def assignments(given: Iterable[str], option: str) -> dict[str, Any]:
    """`NAME=VALUE` pairs; a value that is JSON (a number, true, a list) is taken as that, else as text."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"{option} takes NAME=VALUE, not {text!r}")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def data_files(given: Iterable[str]) -> dict[str, str]:
    """`[TASK=]FILE` as absolute paths by task; `""` for a file that is not bound to one."""
    found: dict[str, str] = {}
    for text in given:
        task, equals, file = text.partition("=")
        path = Path(file if equals else text).expanduser()
        if not path.is_file():
            raise click.UsageError(f"--data: there is no file {path}")
        found[task if equals else ""] = str(path.resolve())
    return found
