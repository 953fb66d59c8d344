"""What a checkpoint says about itself in `pir.json`, and whether its files keep that promise.

    {"schema": 1, "tags": {"ask_open": {"text": "<asking>", "id": 1020}, ...}, "system_prompt": null, "max_asks": 5,
     "user_suffix": "", "folds_system": false, "observation_format": "\\n<response>{response}</response>",
     "junction": "segmented", "budgets": {"max_tokens": 400}, "hashes": {"tokenizer.json": "<sha256>", ...},
     "golden": "golden.json", ...}

Only `schema` must be there. Keys that are not named here belong to others (evaluation, training).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS
from pir_serve.presets import Preset

SCHEMA = 1
HASHED_UP_TO = 64 << 20
"""Bytes; larger files are weights, whose hash would cost every start seconds, and which the engine loads, not we."""


@dataclass(frozen=True, slots=True)
class Contract:
    """A checkpoint's `pir.json`; None where it does not say."""

    tag_ids: Mapping[str, int | None]
    """Tag string -> its token id; None if the checkpoint spells it in several tokens."""
    system_prompt: str | None
    sets_system_prompt: bool
    """Whether the file speaks of a system prompt at all: null means that there must be none."""
    observation_format: str | None
    junction: str | None
    max_asks: int | None
    max_tokens: int | None
    hashes: Mapping[str, str]
    golden: str | None
    user_suffix: str | None = None
    folds_system: bool | None = None

    def over(self, preset: Preset) -> Preset:
        """`preset` with what the checkpoint says instead; a prompted one keeps the system prompt that tells it to ask."""
        merged = dataclasses.replace(
            preset,
            user_suffix=_first(self.user_suffix, preset.user_suffix),
            folds_system=_first(self.folds_system, preset.folds_system),
            observation_format=_first(self.observation_format, preset.observation_format),
            junction=_first(self.junction, preset.junction),
            max_asks=_first(self.max_asks, preset.max_asks),
            max_tokens=_first(self.max_tokens, preset.max_tokens),
        )
        if not self.sets_system_prompt or preset.mode == "prompted":
            return merged
        return dataclasses.replace(merged, system_prompt=self.system_prompt)


T = TypeVar("T")


def _first(said: T | None, otherwise: T) -> T:
    return otherwise if said is None else said


def read_contract(directory: Path) -> Contract | None:
    """The contract in a model's folder; None if it has none.

    Raises:
        ConfigError: it cannot be read, is of another schema, or names tags that we do not speak.
    """
    file = directory / "pir.json"
    if not file.is_file():
        return None
    data = read_json(file)
    if data.get("schema") != SCHEMA:
        raise ConfigError(f"{file}: schema {data.get('schema')!r}, but this version reads {SCHEMA}; update pir-serve")
    budgets = _typed(file, data, "budgets", dict) or {}
    return Contract(
        tag_ids=_tag_ids(file, _typed(file, data, "tags", dict) or {}),
        system_prompt=_typed(file, data, "system_prompt", str),
        sets_system_prompt="system_prompt" in data,
        observation_format=_typed(file, data, "observation_format", str),
        junction=_typed(file, data, "junction", str),
        max_asks=_typed(file, data, "max_asks", int),
        max_tokens=_typed(file, budgets, "max_tokens", int),
        hashes=_typed(file, data, "hashes", dict) or {},
        golden=_typed(file, data, "golden", str),
        user_suffix=_typed(file, data, "user_suffix", str),
        folds_system=_typed(file, data, "folds_system", bool),
    )


def _tag_ids(file: Path, tags: dict[str, Any]) -> dict[str, int | None]:
    ours = dataclasses.asdict(TAGS)
    ids: dict[str, int | None] = {}
    for name, entry in tags.items():
        if name not in ours or not isinstance(entry, dict) or entry.get("text") != ours[name]:
            raise ConfigError(
                f"{file}: tag {name} is {entry!r}, but this version speaks {ours}; "
                "retrain with these tags, or correct the file"
            )
        ids[ours[name]] = _typed(file, entry, "id", int)
    return ids


def check_hashes(directory: Path, contract: Contract) -> None:
    """Compare the files that the contract lists with their SHA-256.

    Raises:
        ConfigError: a file is missing, lies elsewhere, or is not the one that was trained and tested.
    """
    for name, expected in contract.hashes.items():
        file = directory / name
        if Path(name).name != name or not file.is_file():
            raise ConfigError(f"{directory}/pir.json lists {name!r}, which is not in the folder; copy it all once more")
        if file.stat().st_size > HASHED_UP_TO:
            continue
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != expected:
            raise ConfigError(
                f"{file} has SHA-256 {found[:12]}..., but pir.json says {str(expected)[:12]}...; "
                "the file was changed after training: restore it, or export the checkpoint again"
            )


def check_tag_ids(directory: Path, contract: Contract, spec: Mapping[str, Any]) -> None:
    """Compare the contract's tag ids with those of `spec`, the parsed tokenizer.json.

    Raises:
        ConfigError: an id differs; what the model was trained on and what we would send are two things.
    """
    found = {token["content"]: token["id"] for token in spec.get("added_tokens") or []}
    for tag, needed in contract.tag_ids.items():
        if found.get(tag) != needed:
            raise ConfigError(
                f"{directory}: {tag} has id {found.get(tag)} in tokenizer.json, but pir.json needs {needed}; "
                "use the tokenizer that the model was trained with"
            )


def split_format(observation_format: str) -> tuple[str, str]:
    """What stands before and behind a reply.

    Raises:
        ConfigError: it does not hold `{response}` once, directly between the response tags.
    """
    before, found, behind = observation_format.partition("{response}")
    if not found or not before.endswith(TAGS.response_open) or not behind.startswith(TAGS.response_close):
        raise ConfigError(
            f"observation format {observation_format!r}: it must hold "
            f"{TAGS.response_open}{{response}}{TAGS.response_close}, text may stand around it"
        )
    return before, behind


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises: ConfigError."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file} must hold a JSON object, but holds a {type(data).__name__}")
    return data


def _typed(file: Path, data: dict[str, Any], key: str, kind: type) -> Any:
    """`data[key]` if it is a `kind`; None if it is null or missing."""
    value = data.get(key)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool) != (kind is bool)):
        raise ConfigError(f"{file}: {key} must be a {kind.__name__} or null, but is {value!r}")
    return value
