"""What all stages have in common: settings from a flat YAML file and the command line, and launching by torchrun."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pir_serve.errors import ConfigError, EngineError

LAUNCHER = ("torch.distributed.run", "--standalone")


def parse(classes: Sequence[type[Any]], stage: str, args: Sequence[str] | None) -> tuple[Any, ...]:
    """One filled instance of each class, from `--config FILE` (flat YAML) and then `--KEY VALUE`, which wins.

    Raises:
        ConfigError: an unknown key, a value of the wrong type, or a file that cannot be read.
    """
    from trl import TrlParser
    from yaml import YAMLError

    given = list(sys.argv[1:] if args is None else args)
    usage = f"pir train {stage} --config FILE [--KEY VALUE ...]"
    try:
        filled: tuple[Any, ...] = TrlParser(
            tuple(classes), prog=f"pir train {stage}", usage=usage
        ).parse_args_and_config(given)
    except (OSError, ValueError, TypeError, YAMLError) as error:
        raise ConfigError(f"pir train {stage}: {error}") from error
    return filled


def run(stage: Callable[[], None]) -> None:
    """A stage as a program: a mistake of whoever called it ends it with one line."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    for ours in ("training", "__main__"):
        logging.getLogger(ours).setLevel(logging.INFO)
    try:
        stage()
    except (ConfigError, EngineError) as error:
        sys.exit(f"error: {error.message}")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")


def launch(module: str, words: Sequence[str], processes: int) -> int:
    """Run a stage's module in as many processes on this machine; its exit status."""
    torchrun = [*LAUNCHER, f"--nproc_per_node={processes}", "-m"] if processes > 1 else []
    return subprocess.run([sys.executable, "-m", *torchrun, module, *words], check=False).returncode


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line of a JSON-lines file; blank lines are passed over. Raises: ConfigError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(data, dict):
            raise ConfigError(f"{path}:{number}: a JSON object is needed, not {data!r:.60}")
        yield number, data


class Ledger:
    """A JSON-lines file that grows by whole lines; what a kill cut off is dropped, what is there is not made again."""

    def __init__(self, path: Path, key: str = "id") -> None:
        self.path, self._key = path, key
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            data = path.read_bytes()
            if not data.endswith(b"\n"):
                path.write_bytes(data[: data.rfind(b"\n") + 1])

    def rows(self) -> list[dict[str, Any]]:
        return [row for _, row in read_lines(self.path)] if self.path.exists() else []

    def done(self) -> set[str]:
        return {str(row.get(self._key)) for row in self.rows()}

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
