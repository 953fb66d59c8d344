"""What a stream of Chat Completions must look like, chunk by chunk, so that every stock client reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pir_serve.conformance.wire import Raw

_STAGES = ("role", "reasoning", "content", "pir", "finish", "usage", "[DONE]")
_KNOWN_KEYS = {
    "id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "obfuscation",
}  # fmt: skip
"""Of a chunk's top level. The Python SDK's stream helper drops others, so that nothing of ours may stand there."""


def faults(rule: str, raw: Raw, *, wants_usage: bool) -> list[str]:
    check = {"framing": _framing, "order": _order, "extension": _extension}.get(rule)
    return list(check(raw) if check else _usage(raw, wants_usage=wants_usage))


def _framing(raw: Raw) -> Iterator[str]:
    if raw.unfinished:
        yield "the stream ends inside an event: an empty line must follow the last"
    ids = set()
    for frame in raw.frames:
        for line in frame.lines:
            if not line.startswith(("data:", ":")):
                yield f"a line begins with {line[:20]!r}: only `data:` and comments are safe in every client"
        if frame.data is None or frame.data == "[DONE]":
            continue
        chunk = frame.json
        if not isinstance(chunk, dict) or not isinstance(chunk.get("choices"), list):
            yield f"an event is no chunk with choices: {frame.data[:80]}"
            continue
        if chunk.get("object") != "chat.completion.chunk":
            yield f"a chunk's object is {chunk.get('object')!r}"
        ids.add(chunk.get("id"))
    if len(ids) > 1:
        yield f"{len(ids)} different ids in one stream"


def _order(raw: Raw) -> Iterator[str]:
    """Role, reasoning, content, pir, finish, usage, [DONE]: clients close a thought when content begins, and a message
    when its finish comes."""
    stages = list(_stages(raw))
    for before, after in pairwise(stages):
        if _STAGES.index(after) < _STAGES.index(before):
            yield f"{after} comes after {before}; the order is {', '.join(_STAGES)}"
    for stage in ("role", "pir", "finish", "[DONE]"):
        if stages.count(stage) != 1:
            yield f"{stages.count(stage)} chunks with {stage}; there must be one"
    if stages and stages[-1] != "[DONE]":
        yield "the last event is not [DONE]"


def _extension(raw: Raw) -> Iterator[str]:
    """`pir` is in one chunk, whole, in `delta`: the JS helper keeps only the last fragment of a field it does not
    know."""
    found = 0
    for chunk in _chunks(raw):
        if unknown := set(chunk) - _KNOWN_KEYS:
            yield f"{', '.join(sorted(unknown))} at the top level of a chunk, where clients drop it"
        for choice in chunk["choices"]:
            if "pir" in choice:
                yield "pir beside the delta, not in it"
            if "pir" in _delta(choice):
                found += 1
    if found != 1:
        yield f"{found} chunks have a pir object; there must be one"


def _usage(raw: Raw, *, wants_usage: bool) -> Iterator[str]:
    chunks = list(_chunks(raw))
    given = [k for k, chunk in enumerate(chunks) if chunk.get("usage")]
    if not wants_usage:
        if given:
            yield "usage in a stream whose request did not ask for it"
        if any(not chunk["choices"] for chunk in chunks):
            yield "a chunk without choices, in a stream that has no usage to send"
        return
    if given != [len(chunks) - 1]:
        yield f"usage in {len(given)} chunks; it must be in the last one only"
    elif chunks[-1]["choices"]:
        yield "the chunk with usage has choices; they must be empty"


def _stages(raw: Raw) -> Iterator[str]:
    """What each event brings, in order; one that brings several things counts as each of them."""
    for frame in raw.frames:
        if frame.data == "[DONE]":
            yield "[DONE]"
            continue
        chunk = frame.json if isinstance(frame.json, dict) else {}
        for choice in chunk.get("choices") or ():
            yield from _stages_of(choice)
        if chunk.get("usage"):
            yield "usage"


def _stages_of(choice: Any) -> Iterator[str]:
    delta = _delta(choice)
    if delta.get("role"):
        yield "role"
    if delta.get("reasoning_content") or delta.get("reasoning"):
        yield "reasoning"
    if delta.get("content") or delta.get("tool_calls"):
        yield "content"
    if "pir" in delta:
        yield "pir"
    if isinstance(choice, dict) and choice.get("finish_reason"):
        yield "finish"


def _chunks(raw: Raw) -> Iterator[dict[str, Any]]:
    for frame in raw.frames:
        chunk = frame.json
        if isinstance(chunk, dict) and isinstance(chunk.get("choices"), list):
            yield chunk


def _delta(choice: Any) -> Mapping[str, Any]:
    delta = choice.get("delta") if isinstance(choice, dict) else None
    return delta if isinstance(delta, dict) else {}
