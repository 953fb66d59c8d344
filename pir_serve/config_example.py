"""A pir.toml with every key there is, its default and what it is for, taken from `Settings` itself."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import textwrap
import typing
from pathlib import Path
from typing import Any

from pir_serve.config import ENGINE_KEYS, MODEL_KEYS
from pir_serve.settings import Settings, field_types

_SAMPLES: dict[str, Any] = {
    "engine_url": ["http://10.0.0.1:8001", "http://10.0.0.2:8001"],
    "tokenizer": "/models/pir-7b",
    "store": "/var/lib/pir/pir.db",
    "database": "postgresql://pir@db.internal/pir",
    "secret": "a long random string",
    "screen": "screen.toml",
    "api_key": ["a long random string"],
    "seal_key": ["another long random string"],
    "model": "Proactive-Interactive-R1/Proactive-Interactive-R1-Math-7B",
    "engine_api_key": "a key of the engine's",
    "gate_nats": 1.5,
    "temperature": 0.6,
    "top_p": 0.95,
    "top_k": 20,
    "max_tokens": 4096,
}
"""Shown where there is no default."""
_HEAD = """\
# pir.toml, for `pir serve --config pir.toml`; `pir config check pir.toml` looks whether it is right.
# Lines that begin with #key show the default, or an example where there is none. Paths are seen from this file's folder.
# Variables win over this file (PIR_PORT over port), flags over variables. Changes are taken over while the gateway
# runs; host, port, store, database, secret, seal_key, max_stored and workers need a restart.
"""
_MODELS = """
# Models, one a table, by the name that clients use. Without any table the keys of a model may stand above.
# PIR_MODELS__PIR_7B__ENGINE_API_KEY sets a key of the table [models.pir-7b]: secrets need not stand here.

[models.pir-tiny]  # the built-in model, in this process
engine = "local"

#[models.pir-7b]  # two servers of one model: a session stays with one, and one that dies costs a pause
#engine = "vllm"
"""


def example() -> str:
    """Valid as it is, and with every key's line taken in."""
    told = _told()
    top = [
        _entry(field, told) for field in dataclasses.fields(Settings) if field.name not in (*ENGINE_KEYS, "model_name")
    ]
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    table = [_entry(fields[key], told) for key in MODEL_KEYS if key != "engine"]
    return "\n".join([_HEAD, *top]) + _MODELS + "\n".join(table)


def _entry(field: dataclasses.Field[Any], told: dict[str, str]) -> str:
    comment = textwrap.fill(told[field.name], 116, initial_indent="# ", subsequent_indent="# ")
    return f"{comment}\n#{field.name} = {_toml(_shown(field))}\n"


def _shown(field: dataclasses.Field[Any]) -> Any:
    if field.default in (None, ()) or field.name in _SAMPLES:
        wants_text = not {int, float} & set(typing.get_args(field_types()[field.name]))
        return _SAMPLES.get(field.name, "..." if wants_text else 60)
    return field.default


def _toml(value: Any) -> str:
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(value, ensure_ascii=False)  # texts, numbers, booleans and lists look alike in TOML


def _told() -> dict[str, str]:
    """The docstrings that stand under the fields of `Settings`."""
    body = ast.parse(textwrap.dedent(inspect.getsource(Settings))).body[0]
    assert isinstance(body, ast.ClassDef)
    told: dict[str, str] = {}
    for statement, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant), statement.target.id
            told[statement.target.id] = re.sub(r"\s+", " ", str(after.value.value)).strip()
    return told
