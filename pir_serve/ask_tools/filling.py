"""Writes a question into the JSON Schema of somebody else's tool: proposes values, and keeps those that conform.

Names say what a property is for (`question`, `header`, `options` ...), its schema what it may hold. Required properties
are filled, optional ones left out, but for those that say whether the question is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pir_serve.ask_tools.choices import MAX_CHOICES, offered
from pir_serve.ask_tools.names import (
    CHOICE_KINDS,
    HEADER_KEYS,
    ID_KEYS,
    KIND_KEYS,
    LABEL_KEYS,
    LIST_KEYS,
    OPEN_KINDS,
    OPTION_KEYS,
    OTHER_ALLOWED,
    QUESTION_KEYS,
    header,
    plain,
)
from pir_serve.ask_tools.schema import Schemas, as_list, is_nullable, properties_of, required_of, types

_OPEN_LISTS = frozenset({"question"})
"""Tools whose list of options is required and may be empty: opencode's `question` always takes a typed answer."""
_OPTIONS = (2, 3)
"""How many options a tool takes that demands them and does not say: codex refuses none, Open WebUI all but 2 or 3."""
_OPAQUE_LIMITS = {"question": 500, "option": 80}
"""Characters after which Open WebUI, whose schema says nothing of its questions, cuts."""
_MAX_DEPTH = 12
_MAX_CARRIERS = 10
_ABSENT: Any = object()
"""A property that is left out."""


class _Unusable(Exception):
    """This schema cannot carry this question."""


def candidates(
    tool: str, parameters: Mapping[str, Any], question: str, options: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Arguments that conform to `parameters` and ask `question`, likeliest first."""
    filler = _Filler(tool, parameters, question, [text.strip() for text in options if text.strip()])
    try:
        for value in filler.asking(parameters):
            if filler.schemas.conforms(value, parameters):
                yield value
    except (_Unusable, RecursionError):
        return


class _Filler:
    def __init__(self, tool: str, root: Mapping[str, Any], question: str, options: list[str]) -> None:
        self.schemas = Schemas(root)
        self._tool = tool
        self._question = question
        self._options = options

    def asking(self, schema: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
        """Objects of `schema` with the question in them, likeliest first."""
        for variant in self._variants(schema, depth):
            properties = properties_of(variant)
            for carrier in _carriers(properties, required_of(variant)):
                try:
                    yield self._object(variant, carrier, depth)
                except _Unusable:
                    continue

    def _object(self, schema: Mapping[str, Any], carrier: str, depth: int) -> dict[str, Any]:
        properties, required = properties_of(schema), required_of(schema)
        needed = frozenset(required)
        out = {carrier: self._question_in(properties[carrier], depth + 1)}
        has_options = False
        for key in [key for key in properties if plain(key) in OPTION_KEYS and key != carrier]:
            listed = self._option_list(properties[key], key in needed, depth + 1)
            if listed is not _ABSENT:
                out[key] = listed
                has_options = has_options or bool(listed)
        for key in [key for key in properties if key not in out and plain(key) in KIND_KEYS]:
            kind = self._kind(properties[key], has_options, key in needed, depth + 1)
            if kind is not _ABSENT:
                out[key] = kind
        for key in required:
            if key not in out:
                out[key] = self._sibling(key, properties.get(key, {}), depth + 1)
        return {key: out[key] for key in [*properties, *required] if key in out}

    def _question_in(self, schema: Any, depth: int) -> Any:
        """The question as a string, in a list, or in an object of its own."""
        for variant in self._variants(schema, depth):
            kinds = types(variant)
            if not kinds or not kinds.isdisjoint({"string", "array"}):
                listed = "array" in kinds
                said: Any = [self._listed_question(variant.get("items", {}), depth)] if listed else self._question
                if self.schemas.conforms(said, variant):
                    return said
            for value in self.asking(variant, depth + 1):
                return value
        raise _Unusable

    def _listed_question(self, items: Any, depth: int) -> Any:
        for variant in self._variants(items, depth):
            if not properties_of(variant) and types(variant) <= {"object"}:
                return self._conventional()
            return self._question_in(variant, depth + 1)
        raise _Unusable

    def _conventional(self) -> dict[str, Any]:
        """A question object for a schema that does not say what one looks like (Open WebUI's)."""
        options = self._chosen(*_OPTIONS)
        if len(self._question) > _OPAQUE_LIMITS["question"] or max(map(len, options)) > _OPAQUE_LIMITS["option"]:
            raise _Unusable  # it would be cut, and the answer would be to something else
        return {
            "id": "question",
            "header": header(self._question),
            "question": self._question,
            "options": [{"label": text, "description": text} for text in options],
        }

    def _option_list(self, schema: Any, required: bool, depth: int) -> Any:
        """Options where the caller has some or the tool demands them; else nothing, `null` or an empty list."""
        for variant in self._variants(schema, depth):
            if types(variant) and "array" not in types(variant):
                continue
            fewest = variant.get("minItems")
            if not required or fewest == 0 or (fewest is None and self._tool in _OPEN_LISTS):
                demanded, without = False, [] if required else _ABSENT
            else:
                demanded, without = not is_nullable(schema), None
            low, high = max(2, _count(fewest, 2)), _count(variant.get("maxItems"), MAX_CHOICES)
            if demanded and fewest is None:
                high = min(high, _OPTIONS[1])
            try:
                options = self._chosen(low, high) if demanded else self._given(low, high)
                return [self._option(text, variant.get("items", {}), depth) for text in options] or without
            except _Unusable:
                if not demanded:
                    return without
        if required:
            raise _Unusable
        return _ABSENT

    def _given(self, low: int, high: int) -> Sequence[str]:
        """The caller's options, none where their number does not fit."""
        fits = low <= len(self._options) <= high and len(set(self._options)) == len(self._options)
        return self._options if fits else ()

    def _chosen(self, low: int, high: int) -> Sequence[str]:
        """Options for a tool that demands them: the caller's, else those that the question names."""
        if given := self._given(low, high):
            return given
        named = offered(self._question)
        if not low <= len(named) <= high:
            raise _Unusable
        return named

    def _option(self, text: str, schema: Any, depth: int) -> Any:
        for variant in self._variants(schema, depth):
            kinds = types(variant)
            if "string" in kinds:
                return text
            properties, required = properties_of(variant), required_of(variant)
            if not properties and kinds <= {"object"}:
                return {"label": text, "description": text}
            labels = [key for key in properties if plain(key) in LABEL_KEYS]
            labels = [key for key in labels if key in required or plain(key) == "label"] or labels[:1]
            if labels:
                rest = [key for key in required if key not in labels]
                said = {key: self._sibling(key, properties.get(key, {}), depth + 1, text) for key in rest}
                return {**dict.fromkeys(labels, text), **said}
        raise _Unusable

    def _kind(self, schema: Any, has_options: bool, required: bool, depth: int) -> Any:
        """The value of an enumeration that says whether the question is open, if this is one."""
        for variant in self._variants(schema, depth):
            values = [value for value in as_list(variant.get("enum")) if isinstance(value, str)]
            wanted, unwanted = (CHOICE_KINDS, OPEN_KINDS) if has_options else (OPEN_KINDS, CHOICE_KINDS)
            if fitting := [value for value in values if plain(value) in wanted]:
                return fitting[0]
            if required and not has_options and any(plain(value) in unwanted for value in values):
                raise _Unusable  # it only knows questions with options
        return _ABSENT

    def _sibling(self, key: str, schema: Any, depth: int, about: str = "") -> Any:
        """Something sensible for a required property beside the question; `about`: the option that it belongs to."""
        name, title = plain(key), header(self._question)
        texts: list[Any] = [about] if about else ["", title, self._question]
        if name in HEADER_KEYS or name in ID_KEYS:
            texts = [title] if name in HEADER_KEYS else ["question", "q1"]
        elif is_nullable(schema):
            texts.insert(0, None)
        for variant in self._variants(schema, depth):
            stated = [variant[word] for word in ("const", "default") if word in variant]
            numbers = [0, 1, variant.get("minimum"), variant.get("maximum")]
            others: list[Any] = [name in OTHER_ALLOWED, False, True, *numbers, []]
            for value in (*stated, *as_list(variant.get("enum"))[:50], *texts, *others):
                if self.schemas.conforms(value, variant):
                    return value
            if "object" in types(variant):
                properties = properties_of(variant)
                return {k: self._sibling(k, properties.get(k, {}), depth + 1) for k in required_of(variant)}
        raise _Unusable

    def _variants(self, schema: Any, depth: int) -> Iterator[dict[str, Any]]:
        if depth > _MAX_DEPTH:
            raise _Unusable
        return self.schemas.variants(schema)


def _carriers(properties: Mapping[str, Any], required: Sequence[str]) -> list[str]:
    """Properties that may hold the question, likeliest first: required ones, lists of questions, then by name."""

    needed = frozenset(required)

    def rank(key: str) -> tuple[bool, int]:
        name = plain(key)
        return key not in needed, -1 if name in LIST_KEYS else QUESTION_KEYS.index(name)

    if named := [key for key in properties if plain(key) in LIST_KEYS or plain(key) in QUESTION_KEYS]:
        return sorted(named, key=rank)[:_MAX_CARRIERS]
    spoken = [
        key for key in properties if _is_plain_string(properties[key]) and plain(key) not in HEADER_KEYS | ID_KEYS
    ]
    if len(spoken) > 1:
        spoken = [key for key in spoken if key in needed]
    return spoken if len(spoken) == 1 else []


def _is_plain_string(schema: Any) -> bool:
    return (
        isinstance(schema, dict) and schema.get("type") == "string" and "enum" not in schema and "const" not in schema
    )


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
