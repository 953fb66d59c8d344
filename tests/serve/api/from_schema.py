"""Values that a JSON Schema describes, and requests that our API's description allows: for tests that send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

Json = dict[str, Any]
Strategy = st.SearchStrategy[Any]

_TEXTS = st.text(max_size=12) | st.sampled_from(["", "</think>", "<asking>", "\x00", "é" * 40, "9" * 40, "[[[[", "?"])
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS
ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3), max_leaves=6
)


def values(schema: Json, document: Json, known: Mapping[str, Strategy] | None = None) -> Strategy:
    """`known`: strategies for properties of these names, at the top, which a schema cannot describe."""
    if "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return st.deferred(lambda: values(target, document, known))
    if "anyOf" in schema:
        return st.one_of([values(option, document) for option in schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    made = {
        "string": _strings,
        "integer": _integers,
        "number": _numbers,
        "boolean": lambda _: st.booleans(),
        "null": lambda _: st.none(),
    }.get(schema.get("type", ""))
    if made is not None:
        return made(schema)
    if schema.get("type") == "array":
        items = values(schema.get("items", {}), document)
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=max(3, schema.get("minItems", 0)))
    return _objects(schema, document, known or {}) if schema.get("type") == "object" else ANYTHING


def _strings(schema: Json) -> Strategy:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True)
    if schema.get("format") == "date-time":
        return st.datetimes().map(lambda time: time.isoformat())
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    return _TEXTS.filter(lambda text: low <= len(text) <= (high or 1000))


def _integers(schema: Json) -> Strategy:
    low, high = schema.get("minimum"), schema.get("maximum")
    low = schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else low
    high = schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else high
    return st.integers(low, high)


def _numbers(schema: Json) -> Strategy:
    return st.floats(
        schema.get("minimum", schema.get("exclusiveMinimum")),
        schema.get("maximum"),
        exclude_min="exclusiveMinimum" in schema,
        allow_nan=False,
        allow_infinity=False,
    )


def _objects(schema: Json, document: Json, known: Mapping[str, Strategy]) -> Strategy:
    parts = {
        name: known[name] if name in known else values(s, document) for name, s in schema.get("properties", {}).items()
    }
    required = {name: parts.pop(name) for name in schema.get("required", ())}
    more = schema.get("additionalProperties")
    others = st.dictionaries(_TEXTS, values(more, document), max_size=2) if isinstance(more, dict) else st.just({})
    # Few of the optional ones at a time: each may be refused, and then the others are not looked at.
    few = st.lists(st.sampled_from(sorted(parts)), max_size=3, unique=True) if parts else st.just([])
    chosen = few.flatmap(lambda names: st.fixed_dictionaries({**required, **{name: parts[name] for name in names}}))
    return st.builds(lambda a, b: {**b, **a}, chosen, others)


def requests(path: str, operation: Json, document: Json, known: Mapping[str, Strategy]) -> Strategy:
    """Of one operation: path with its query, headers and body; now and then not as described."""
    parts: dict[str, dict[str, Strategy]] = {"path": {}, "query": {}, "header": {}}
    for parameter in operation["parameters"]:
        name = parameter["name"]
        parts[parameter["in"]][name] = known[name] if name in known else values(parameter["schema"], document)
    header = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
    body: Strategy = st.none()
    if "requestBody" in operation:
        described = values(operation["requestBody"]["content"]["application/json"]["schema"], document, known)
        body = st.builds(_changed, described, st.none() | st.tuples(st.integers(0, 30), ANYTHING))
    return st.builds(
        lambda names, query, headers, sent: {
            "url": _filled(path, names),
            "params": {name: _in_url(value) for name, value in query.items() if value is not None},
            "headers": headers,
            "json": sent,
        },
        st.fixed_dictionaries(parts["path"]),
        st.fixed_dictionaries({}, optional={n: s | _TEXTS for n, s in parts["query"].items()}),
        st.fixed_dictionaries({}, optional=dict.fromkeys(parts["header"], header)),
        body,
    )


def _changed(body: Json, change: tuple[int, Any] | None) -> Json:
    """With one field replaced by something else."""
    if change is None or not body:
        return body
    at, value = change
    return {**body, sorted(body)[at % len(body)]: value}


def _filled(path: str, names: Mapping[str, Any]) -> str:
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    return path


def _in_url(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
