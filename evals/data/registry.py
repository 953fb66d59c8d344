"""The registry of public data sets (`registry.toml`), and reading what they come as."""

from __future__ import annotations

import csv
import gzip
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

REGISTRY = Path(__file__).parent / "registry.toml"


class DataError(ValueError):
    """A data set is not there, is not what it should be, or cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """A public data set: one file at a fixed address."""

    name: str
    title: str
    url: str
    license: str
    records: int
    """In the file; rows may be fewer or more."""
    notes: str = ""
    revision: str = ""
    """Part of the address; empty where the host has none that is fixed."""
    sha256: str = ""
    """Empty where we could not reach the file: then the first fetch records it."""

    @property
    def filename(self) -> str:
        return f"{self.name}{''.join(PurePosixPath(unquote(urlsplit(self.url).path)).suffixes)}"

    @property
    def source(self) -> str:
        """For `Row.source`: the repository and its revision."""
        parts = urlsplit(self.url)
        kept = parts.path.strip("/").split("/")
        repository = "/".join(kept[1:3] if kept[0] == "datasets" else kept[:2])
        return f"{parts.netloc}/{repository}" + (f"@{self.revision[:12]}" if self.revision else "")


@lru_cache(maxsize=1)
def data_sets() -> dict[str, DataSet]:
    """All data sets by name."""
    entries = tomllib.loads(REGISTRY.read_text(encoding="utf-8"))
    return {name: DataSet(name=name, **entry) for name, entry in entries.items()}


def named(name: str) -> DataSet:
    """
    Raises:
        DataError: no such data set.
    """
    found = data_sets().get(name)
    if found is None:
        raise DataError(f"no data set {name!r}; there are {', '.join(data_sets())}")
    return found


def read_records(path: Path) -> list[dict[str, Any]]:
    """The records of a .json, .jsonl, .csv or .parquet file, gzipped or not.

    Raises:
        DataError: no such file, another kind of file, or a broken one.
    """
    try:
        records = list(_records(path))
    except DataError:
        raise
    except (OSError, EOFError, ValueError, csv.Error) as error:  # JSON, Unicode and Arrow errors are ValueErrors
        raise DataError(f"{path} cannot be read: {error}") from error
    if not records or not all(isinstance(record, dict) for record in records):
        raise DataError(f"{path} holds no records; a list of objects is needed")
    return records


def _records(path: Path) -> Iterator[Any]:
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        import pyarrow.parquet  # type: ignore[import-untyped]

        yield from pyarrow.parquet.read_table(path).to_pylist()
        return
    content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    text = content.decode("utf-8-sig")
    if kind == "jsonl":
        yield from (json.loads(line) for line in text.splitlines() if line.strip())
    elif kind == "json":
        loaded = json.loads(text)
        yield from loaded if isinstance(loaded, list) else [loaded]
    elif kind == "csv":
        yield from csv.DictReader(text.splitlines())
    else:
        raise DataError(f"{path.name} is none of .json, .jsonl, .csv and .parquet (.gz)")
