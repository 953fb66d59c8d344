"""The screen's file (`--screen`, `PIR_SCREEN`), in TOML. All of it is optional; unknown keys are errors.

    response = "The user cannot be asked about this. Go on without it."  # what the model is told on a block
    on_failure = "block"       # or "allow": what a screen that fails or takes too long amounts to
    timeout_s = 2.0            # seconds that each screen has
    log_questions = false      # whether the log may hold the questions

    [builtin]                  # by name: "block", "rewrite", "allow" or "off"
    health = "off"
    credentials = "rewrite"    # the user is asked for what can be said without any

    [[rule]]                   # your own, in this order and before the built-in ones; the first that matches decides
    name = "project names"
    words = ["Falcon", "Blue Harbour"]   # whole words, however they are spelled, in any script
    patterns = ['ticket \\d{5}']         # regular expressions; they see lower case without accents
    unless = ["falcon heavy"]            # expressions for what does not count, though it looks alike
    action = "rewrite"                   # or "block" (as when left out), "allow"
    replacement = "Which project is it? Its number will do."   # for rewrite: shown to the user instead
    # response = "..."                   # for block: what the model is told

`patterns` and `unless` may also be one text with an expression a line (and `#` lines between); `{name}` in them stands
for any line of that name under `[terms]`. The built-in rules are such a file: `builtin.toml`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pir_serve.errors import ConfigError
from pir_serve.screen import BLOCK_RESPONSE, Screen, Screening
from pir_serve.screening.folding import fold
from pir_serve.screening.rules import Rule, RuleScreen

_ACTIONS = ("allow", "rewrite", "block")
_RULE_KEYS = ("name", "words", "patterns", "unless", "action", "replacement", "response")
_TOP_KEYS = ("response", "on_failure", "timeout_s", "log_questions", "builtin", "terms", "rule")
BUILTIN = Path(__file__).with_name("builtin.toml")


def load_screening(file: Path | None = None, *, also: Sequence[Screen] = ()) -> Screening:
    """The built-in rules with what `file` changes and adds; screens of your own, `also`, come behind them.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong, and what.
    """
    data = {} if file is None else _read(file)
    where = str(file)
    _known(where, data, _TOP_KEYS)
    own = _rules(where, data)
    shipped = _rules("built-in rules", _read(BUILTIN))
    _unique(where, [rule.name for rule in (*own, *shipped)])
    shipped = _changed(where, shipped, _get(where, data, "builtin", dict, {}))
    timeout_s = _get(where, data, "timeout_s", float, 2.0)
    if not 0 < timeout_s <= 60:
        raise ConfigError(f"{where}: timeout_s is {timeout_s}; it must be above 0 and at most 60 seconds")
    response = _get(where, data, "response", str, BLOCK_RESPONSE)
    if not response.strip():
        raise ConfigError(f"{where}: response is empty; it must say how the model is to go on")
    on_failure: Literal["allow", "block"] = _choice(where, data, "on_failure", ("allow", "block"), "block")
    return Screening(
        [RuleScreen([*own, *shipped]), *also],
        timeout_s=timeout_s,
        on_failure=on_failure,
        response=response,
        log_questions=_get(where, data, "log_questions", bool, False),
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the screen's file {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the screen's file {file} is not TOML: {error}") from error


def _changed(where: str, shipped: Sequence[Rule], wanted: Mapping[str, Any]) -> list[Rule]:
    rules = {rule.name: rule for rule in shipped}
    where = f"{where}: [builtin]"
    _known(where, wanted, rules)
    for name in wanted:
        action = _choice(where, wanted, name, (*_ACTIONS, "off"), "block")
        if action == "off":
            del rules[name]
        else:
            rules[name] = _whole(where, dataclasses.replace(rules[name], action=action))
    return list(rules.values())


def _rules(where: str, data: Mapping[str, Any]) -> list[Rule]:
    tables = _get(where, data, "terms", dict, {})
    terms = {name: f"(?:{'|'.join(_expressions(where, tables, name))})" for name in tables}
    return [_rule(where, k, entry, terms) for k, entry in enumerate(_list(where, data, "rule", dict), start=1)]


def _rule(where: str, number: int, entry: Mapping[str, Any], terms: Mapping[str, str]) -> Rule:
    name = _get(f"{where}: rule {number}", entry, "name", str, "").strip()
    if not name:
        raise ConfigError(f"{where}: rule {number} has no name; logs and counts need one")
    where = f"{where}: rule {name!r}"
    _known(where, entry, _RULE_KEYS)
    words = [fold(word) for word in _list(where, entry, "words", str)]
    if not all(words):
        raise ConfigError(f"{where}: an empty word would match everything")
    patterns = [_pattern(where, source, terms) for source in _expressions(where, entry, "patterns")]
    patterns += [_word(word) for word in words]
    if not patterns:
        raise ConfigError(f"{where} has neither words nor patterns; it would never match")
    rule = Rule(
        name,
        tuple(patterns),
        _choice(where, entry, "action", _ACTIONS, "block"),
        replacement=_get(where, entry, "replacement", str, "").strip(),
        response=_get(where, entry, "response", str, "").strip(),
        unless=tuple(_pattern(where, source, terms) for source in _expressions(where, entry, "unless")),
    )
    return _whole(where, rule)


def _whole(where: str, rule: Rule) -> Rule:
    if rule.action == "rewrite" and not rule.replacement:
        raise ConfigError(f"{where}: {rule.name!r} rewrites, but has no replacement: the question to show instead")
    return rule


def _expressions(where: str, data: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts, or the lines of one."""
    if isinstance(text := data.get(key), str):
        return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return _list(where, data, key, str)


def _word(word: str) -> re.Pattern[str]:
    escaped = re.escape(word)
    return re.compile(escaped if _UNSPACED.search(word) else rf"(?<!\w){escaped}(?!\w)")


_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]")
"""Scripts that put no spaces between words."""


def _pattern(where: str, source: str, terms: Mapping[str, str]) -> re.Pattern[str]:
    accented = [c for c in source if c.isalpha() and fold(c) != c.lower()]
    if accented:
        raise ConfigError(
            f"{where}: {source!r} would never match: the text it sees has no {accented[0]!r}; write {fold(accented[0])!r}"
        )
    for name in re.findall(r"\{([a-z_]\w*)\}", source):
        _known(where, {name: ""}, terms)
    try:
        pattern = re.compile(re.sub(r"\{([a-z_]\w*)\}", lambda found: terms[found[1]], source), re.IGNORECASE)
    except re.error as error:
        raise ConfigError(f"{where}: {source!r} is no regular expression: {error}") from None
    if pattern.search(""):
        raise ConfigError(f"{where}: {source!r} matches nothing at all, hence every question")
    return pattern


def _known(where: str, data: Mapping[str, Any], keys: Iterable[str]) -> None:
    keys = tuple(keys)
    for key in data:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
            raise ConfigError(f"{where}: {key} is unknown; {hint}")


def _unique(where: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: two rules are named {name!r}; built-in rules are changed under [builtin]")


def _get(where: str, data: Mapping[str, Any], key: str, kind: type[Any], default: Any) -> Any:
    value = data.get(key, default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind):
        raise ConfigError(f"{where}: {key} is {value!r}; it must be {_KINDS[kind]}")
    return value


_KINDS = {str: "text", float: "a number", bool: "true or false", dict: "a table"}


def _choice(where: str, data: Mapping[str, Any], key: str, choices: Sequence[str], default: str) -> Any:
    value = data.get(key, default)
    if value not in choices:
        raise ConfigError(f"{where}: {key} is {value!r}; it must be one of {', '.join(choices)}")
    return value


def _list(where: str, data: Mapping[str, Any], key: str, kind: type[Any]) -> list[Any]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        raise ConfigError(f"{where}: {key} must be a list of {'tables' if kind is dict else 'texts'}")
    return value
