"""Whether a value satisfies a JSON Schema, for the small values that we write into the schemas of others.

A careful subset: what we do not know how to check, we do not claim to satisfy. `conforms` never says yes to a value that
a full validator would refuse; it may say no to one that it would accept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from pir_serve.ask_tools.names import words

_UNCHECKED = words(
    "not if then else patternProperties propertyNames minProperties maxProperties dependentRequired dependentSchemas "
    "dependencies contains minContains maxContains prefixItems additionalItems unevaluatedProperties unevaluatedItems "
    "$dynamicRef $recursiveRef format contentEncoding contentMediaType contentSchema"
)
"""Keywords that can refuse a value and that we do not check. `format` is one: many clients enforce it."""
_MAX_STEPS = 20_000
"""Of work on one call's arguments, all in all: about 20 ms."""
_MAX_DEPTH = 40
_SIMPLE_PATTERN = re.compile(
    r"\^?(?:(?:\[[^\[\]\\]+\]|\\[dwsDWS]|[A-Za-z0-9_ -])(?:[+*?]|\{\d{1,3}(?:,\d{0,3})?\})?)*\$?"
)
"""No groups and no alternatives: what such a pattern costs is bounded by the number of its quantifiers."""


class Schemas:
    """The schemas of one tool: checks values, and resolves `$ref` within the document."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._steps = 0

    def conforms(self, value: Any, schema: Any) -> bool:
        """False also where it would take too long to tell: a schema may come from anybody."""
        try:
            return self._conforms(value, schema, 0)
        except RecursionError:  # a `const` nested a thousand deep
            return False

    def variants(self, schema: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
        """`schema` without references and alternatives: one schema for each way to satisfy it, null last.

        What does not fit is not excluded here: a value made after a variant is to be checked with `conforms`.
        """
        self._steps += _MAX_STEPS // 500
        if schema is True:
            schema = {}
        if depth > _MAX_DEPTH or self._steps > _MAX_STEPS or not isinstance(schema, dict):
            return
        if "$ref" in schema:
            target = self.resolve(schema["$ref"])
            yield from self.variants(_merged(target, _without(schema, "$ref")), depth + 1)
            return
        for keyword in ("allOf", "anyOf", "oneOf"):
            branches = [branch for branch in as_list(schema.get(keyword)) if isinstance(branch, dict)]
            rest: Any = _without(schema, keyword)
            if branches and keyword == "allOf":
                for branch in branches:
                    rest = _merged(self.resolve(branch["$ref"]) if "$ref" in branch else branch, rest)
                yield from self.variants(rest, depth + 1)
                return
            for branch in sorted(branches, key=lambda branch: branch.get("type") == "null"):
                yield from self.variants(_merged(branch, rest), depth + 1)
            if branches:
                return
        yield schema

    def resolve(self, ref: Any) -> Any:
        """What a `$ref` within the document points to, or False, which nothing satisfies."""
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            return False
        target: Any = self._root
        for part in ref.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(target):
                target = target[int(key[:9])]
            elif isinstance(target, dict) and key in target:
                target = target[key]
            else:
                return False
        return target

    def _conforms(self, value: Any, schema: Any, depth: int) -> bool:
        if isinstance(schema, bool):
            return schema
        self._steps += 1 + len(as_list(schema.get("enum"))) // 20 if isinstance(schema, dict) else 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
            return False
        if not _UNCHECKED.isdisjoint(schema):
            return False
        return (
            _has_type(value, schema.get("type"))
            and ("const" not in schema or same(value, schema["const"]))
            and ("enum" not in schema or _is_list_with(schema["enum"], value))
            and _in_bounds(value, schema)
            and self._combined(value, schema, depth + 1)
            and (not isinstance(value, dict) or self._object(value, schema, depth + 1))
            and (not isinstance(value, list) or self._array(value, schema, depth + 1))
        )

    def _combined(self, value: Any, schema: Mapping[str, Any], depth: int) -> bool:
        if "$ref" in schema and not self._conforms(value, self.resolve(schema["$ref"]), depth):
            return False
        for keyword in ("allOf", "anyOf", "oneOf"):
            if keyword not in schema:
                continue
            if not isinstance(schema[keyword], list):
                return False
            hits = [self._conforms(value, branch, depth) for branch in schema[keyword]]
            if not (all(hits) if keyword == "allOf" else any(hits)):
                return False
            if keyword == "oneOf" and not self._are_disjoint(schema[keyword]):
                return False
        return True

    def _are_disjoint(self, branches: list[Any]) -> bool:
        """Whether one branch at most can hold, as they are of different types; nothing else is looked into."""
        seen: set[str] = set()
        for branch in branches:
            target = self.resolve(branch["$ref"]) if isinstance(branch, dict) and set(branch) == {"$ref"} else branch
            kinds = types(target) if isinstance(target, dict) and "type" in target else frozenset()
            kinds = kinds | {"integer"} if "number" in kinds else kinds
            if not kinds or not seen.isdisjoint(kinds):
                return False
            seen |= kinds
        return True

    def _object(self, value: dict[str, Any], schema: Mapping[str, Any], depth: int) -> bool:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            return False
        rest = schema.get("additionalProperties", True)
        return all(key in value for key in required if isinstance(key, str)) and all(
            self._conforms(item, properties.get(key, rest), depth) for key, item in value.items()
        )

    def _array(self, value: list[Any], schema: Mapping[str, Any], depth: int) -> bool:
        if schema.get("uniqueItems") is True and any(same(a, b) for k, a in enumerate(value) for b in value[:k]):
            return False
        return all(self._conforms(item, schema.get("items", True), depth) for item in value)


def types(schema: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that `schema` names or, naming none, implies; empty for any."""
    named = schema.get("type")
    if isinstance(named, str):
        return frozenset({named})
    if isinstance(named, list):
        return frozenset(kind for kind in named if isinstance(kind, str))
    if isinstance(schema.get("properties"), dict):
        return frozenset({"object"})
    return frozenset({"array"}) if "items" in schema else frozenset()


def properties_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def required_of(schema: Mapping[str, Any]) -> list[str]:
    return [key for key in as_list(schema.get("required")) if isinstance(key, str)]


def is_nullable(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    branches = [*as_list(schema.get("anyOf")), *as_list(schema.get("oneOf"))]
    return "null" in types(schema) or any(isinstance(b, dict) and b.get("type") == "null" for b in branches)


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _merged(branch: Any, rest: dict[str, Any]) -> Any:
    """Both at once: what `branch` says goes before what stands beside it, properties and required ones add up."""
    if not isinstance(branch, dict):
        return rest if branch is True else False
    out = {**rest, **branch}
    if properties := {**properties_of(rest), **properties_of(branch)}:
        out["properties"] = properties
    if required := list(dict.fromkeys([*required_of(rest), *required_of(branch)])):
        out["required"] = required
    return out


def _without(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != keyword}


def same(a: Any, b: Any) -> bool:
    """JSON equality: `true` is not 1, 1 is 1.0."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list | dict) or isinstance(b, list | dict):
        return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    return bool(a == b)


def _is_list_with(options: Any, value: Any) -> bool:
    return isinstance(options, list) and any(same(value, option) for option in options)


def _has_type(value: Any, named: Any) -> bool:
    if named is None:
        return True
    kinds = [named] if isinstance(named, str) else named
    if not isinstance(kinds, list):
        return False
    if isinstance(value, bool):
        return "boolean" in kinds
    if isinstance(value, int):
        return "integer" in kinds or "number" in kinds
    if isinstance(value, float):
        return "number" in kinds
    actual = {str: "string", list: "array", dict: "object", type(None): "null"}[type(value)]
    return actual in kinds


def _in_bounds(value: Any, schema: Mapping[str, Any]) -> bool:
    """Lengths, sizes and ranges; a bound that is no number is one that we cannot keep."""
    size: float | None = None
    keywords: tuple[str, ...] = ()
    if isinstance(value, str):
        size, keywords = len(value), ("minLength", "maxLength")
        if "pattern" in schema and not _matches(schema["pattern"], value):
            return False
    elif isinstance(value, list):
        size, keywords = len(value), ("minItems", "maxItems")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        size, keywords = value, ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    for keyword in keywords:
        bound = schema.get(keyword)
        if bound is None and keyword not in schema:
            continue
        if isinstance(bound, bool) or not isinstance(bound, int | float) or not _keeps(keyword, size or 0, bound):
            return False
    return True


def _keeps(keyword: str, size: float, bound: float) -> bool:
    if keyword == "multipleOf":
        return bound > 0 and size % bound == 0
    if keyword.startswith("exclusive"):
        return size > bound if keyword.endswith("Minimum") else size < bound
    return size >= bound if keyword.startswith("min") else size <= bound


def _matches(pattern: Any, text: str) -> bool:
    """Only patterns that cannot run away, on short texts; what a stranger's regular expression costs is unknown."""
    if not isinstance(pattern, str) or len(pattern) > 100 or len(text) > 100:
        return False
    if not _SIMPLE_PATTERN.fullmatch(pattern) or sum(pattern.count(c) for c in "+*?{") > 3:
        return False
    try:
        return re.search(pattern, text, re.ASCII) is not None
    except re.error:
        return False
