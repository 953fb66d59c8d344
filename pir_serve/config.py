"""pir.toml: what a gateway serves and how, in one file. Keys at the top are those of `Settings`; each table
`[models.NAME]` is a model, by the name that clients use.

Variables win over the file, flags over variables; what is said of one model, over what is said of all.
`PIR_MODELS__<NAME>__<KEY>` sets a key of one model's table, where
<NAME> is the model's in capitals with `_` for all that is no letter or digit: the place for an engine's key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pir_serve.errors import ConfigError
from pir_serve.policy import NO_ASK_SUFFIX
from pir_serve.setting_values import read_value
from pir_serve.settings import CONFIG_VARIABLE, MODELS_PREFIX, PREFIX, Settings, field_types

ENGINE_KEYS = ("engine", "engine_url", "engine_api_key", "model", "tokenizer", "mode", "threads")
"""Of a model's table: what it is."""
REQUEST_KEYS = ("ask", "max_asks", "temperature", "top_p", "top_k", "max_tokens")
"""Of a model's table: what its requests go by that say nothing of their own."""
MODEL_KEYS = (*ENGINE_KEYS, *REQUEST_KEYS)
_SHARED_KEYS = ("engine", "engine_api_key", "mode", "threads", *REQUEST_KEYS)
"""Those that may stand at the top for all models that do not say otherwise."""
_WORDS: dict[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text in quotes", Path: "a path in quotes",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Config:
    settings: Settings
    """Of the process; of its models the first."""
    models: tuple[Settings, ...]
    """One for each model: `settings` with what is its own."""
    path: Path | None = None


def load(env: Mapping[str, str], *, config: Path | None = None, **flags: Any) -> Config:
    """From the file, if one is named (`config`, else `PIR_CONFIG`), variables and flags.

    Raises:
        ConfigError: the file cannot be read, has an unknown key or a value of the wrong kind, or `Settings` refuses.
    """
    path = config or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
    if path is None:
        _refuse_stray_variables(env, {})
        settings = Settings.from_env(env, **flags)
        return Config(settings, (settings,))
    path = path.expanduser()
    data = _parsed(path)
    tables = data.pop("models", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigError(f"{path}: models must be tables: [models.NAME]")
    top = _values(data, path, where="", known=field_types())
    if not tables:
        _refuse_stray_variables(env, {})
        settings = Settings.from_env(env, top, **flags)
        return Config(settings, (settings,), path)
    _refuse_keys_of_one(path, top, env, flags)
    models = _models(tables, path, env=env, top=top, flags=flags)
    return Config(models[0], models, path)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}; `pir config example` prints one to begin with"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _values(data: Mapping[str, Any], path: Path, *, where: str, known: Iterable[str]) -> dict[str, Any]:
    types_ = field_types()
    values = {}
    for key, value in data.items():
        if key not in known:
            raise ConfigError(f"{path}: {where}{key} is not a setting{_suggestion(key, known, where)}")
        said = str(value) if key == "ask" and type(value) is int else value
        values[key] = _checked(said, types_[key], f"{path}: {where}{key}", path.parent)
    if isinstance(model := values.get("model"), str) and (path.parent / model).is_dir():
        values["model"] = str(path.parent / model)
    return values


def _suggestion(key: str, known: Iterable[str], where: str) -> str:
    if where and key in field_types():
        return "; it holds for all models: put it above the first [table]"
    near = difflib.get_close_matches(key, [*known, "models"], n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "; `pir config example` shows all there are"


def _checked(value: Any, hint: Any, what: str, folder: Path) -> Any:
    """As `Settings` wants it. Raises: ConfigError."""
    if typing.get_origin(hint) is types.UnionType:
        if value == "":
            return None
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    if typing.get_origin(hint) is tuple:
        several = [value] if isinstance(value, str) else value
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            raise ConfigError(f"{what} is {value!r}; it must be a list of texts in quotes")
        return tuple(several)
    if typing.get_origin(hint) is typing.Literal:
        hint = str
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not (str if hint is Path else hint):
        raise ConfigError(f"{what} is {value!r}; it must be {_WORDS[hint]}")
    return folder / Path(value).expanduser() if hint is Path else value


def _refuse_keys_of_one(path: Path, top: Mapping[str, Any], env: Mapping[str, str], flags: Mapping[str, Any]) -> None:
    for key in (*(key for key in MODEL_KEYS if key not in _SHARED_KEYS), "model_name"):
        found = key if key in top else f"{PREFIX}{key.upper()}" if env.get(f"{PREFIX}{key.upper()}") else None
        if flags.get(key):
            found = f"--{key.replace('_', '-')}"
        if found:
            raise ConfigError(f"{found} is of one model, and {path} has tables of models: set {key} in a [models.NAME]")


def _models(
    tables: Mapping[str, dict[str, Any]],
    path: Path,
    *,
    env: Mapping[str, str],
    top: Mapping[str, Any],
    flags: Mapping[str, Any],
) -> tuple[Settings, ...]:
    variables = {_variable(name): name for name in tables}
    if len(variables) < len(tables):
        raise ConfigError(f"{path}: two models have names that differ in signs only, so their variables would clash")
    _refuse_stray_variables(env, variables)
    Settings.from_env(env, top, **{**flags, "engine": "local"})  # what is wrong there is of no model
    models = []
    for name, table in tables.items():
        if not re.fullmatch(r"[^\s,]{1,128}", name) or name.endswith(NO_ASK_SUFFIX):
            raise ConfigError(f"{path}: {name!r} cannot be a model's name: no spaces, no commas, no {NO_ASK_SUFFIX}")
        own = _values(table, path, where=f"models.{name}.", known=MODEL_KEYS)
        for key in MODEL_KEYS:
            variable = f"{MODELS_PREFIX}{_variable(name)}__{key.upper()}"
            if variable in env:
                own[key] = read_value(variable, env[variable], field_types()[key])
        try:
            models.append(Settings.from_env(env, top, **{**flags, **own, "model_name": name}))
        except ConfigError as error:
            raise ConfigError(f"{path}: models.{name}: {error}") from None
    return tuple(models)


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _refuse_stray_variables(env: Mapping[str, str], names: Mapping[str, str]) -> None:
    known = [f"{MODELS_PREFIX}{name}__{key.upper()}" for name in names for key in MODEL_KEYS]
    for variable in env:
        if variable.startswith(MODELS_PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1)
            raise ConfigError(f"{variable} sets no key of a model{f'; did you mean {near[0]}?' if near else ''}")
