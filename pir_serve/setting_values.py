"""A setting's value from the text of a variable, by the type of its field."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any, Literal

from pir_serve.errors import ConfigError


def choices_of(hint: Any) -> tuple[str, ...]:
    """The values that a field may have; empty where its type is no choice."""
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def read_value(key: str, text: str, hint: Any) -> Any:
    """A variable's text as a value of its field's type. Raises: ConfigError, with the variable's name."""
    if typing.get_origin(hint) is types.UnionType:  # X | None: an empty variable is "not set"
        if not text:
            return None
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    if typing.get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if hint is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off", ""):
            return False
        raise ConfigError(f"{key} is {text!r}; it must be true or false")
    if hint in (int, float):
        try:
            return hint(text)
        except ValueError:
            raise ConfigError(f"{key} is {text!r}; it must be a number") from None
    return Path(text) if hint is Path else text
