"""The shapes of Chat Completions replies, whole and in chunks. Bytes only; what they say is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pir_serve.api.outcome import Outcome, Suspended
from pir_serve.api.tool_calls import FunctionCall
from pir_serve.loop import RunUsage


def usage_object(usage: RunUsage, num_auto_answers: int = 0) -> dict[str, Any]:
    """`num_auto_answers`: questions of the run that the gateway answered itself; each cost another leg's prompt."""
    cached = None if usage.cached_tokens is None else {"cached_tokens": usage.cached_tokens}
    out = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": cached,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
    return {**out, "pir": {"auto_answers": num_auto_answers}} if num_auto_answers else out


def reasoning_details(sid: str, data: str) -> list[dict[str, Any]]:
    """OpenRouter's field: the one opaque state that a stock front end sends back by itself."""
    return [{"type": "reasoning.encrypted", "format": "pir-v1", "id": sid, "index": 0, "data": data}]


def extra_fields(outcome: Outcome) -> dict[str, Any]:
    """Of a message: what we add to it."""
    fields: dict[str, Any] = {"pir": outcome.pir}
    if outcome.suspended and outcome.suspended.sealed:
        fields = {"reasoning_details": reasoning_details(outcome.suspended.sid, outcome.suspended.sealed), **fields}
    return fields


def tool_call(call: FunctionCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def finish_reason(outcome: Outcome, calls: Sequence[FunctionCall]) -> str:
    """`calls` of ordinary tools."""
    if (outcome.suspended and outcome.suspended.call) or (calls and not outcome.is_cut):
        return "tool_calls"
    return "length" if outcome.is_cut else "stop"


def message(
    outcome: Outcome, answer: str, calls: Sequence[FunctionCall], reasoning: Mapping[str, str]
) -> dict[str, Any]:
    """`reasoning` is the field with the text, or empty where it is not shown."""
    if outcome.suspended:
        calls = [outcome.suspended.call] if outcome.suspended.call else []
        answer = "" if calls else outcome.suspended.question
    out: dict[str, Any] = {"role": "assistant", "content": answer or (None if calls else ""), "refusal": None}
    if calls:
        out["tool_calls"] = [tool_call(call) for call in calls]
    return {**out, **reasoning, **extra_fields(outcome)}


def completion(
    reply_id: str, created: int, model: str, *, choices: Sequence[tuple[dict[str, Any], str]], usage: dict[str, Any]
) -> dict[str, Any]:
    """`choices`: message and finish reason of each."""
    return {
        "id": reply_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {"index": k, "message": message, "logprobs": None, "finish_reason": reason}
            for k, (message, reason) in enumerate(choices)
        ],
        "usage": usage,
    }


class ChunkWriter:
    """Server-sent events of one choice of a reply. All but the text of a chunk is laid out once: this runs for every
    burst of tokens."""

    def __init__(
        self, reply_id: str, created: int, model: str, *, reasoning_field: str, include_usage: bool, index: int = 0
    ) -> None:
        head = {"id": reply_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._head = b"data: " + orjson.dumps(head)[:-1]
        self._usage_null = b',"usage":null' if include_usage else b""
        self._open = self._head + b',"choices":[{"index":%d,"delta":' % index
        self._close = b',"logprobs":null,"finish_reason":null}]' + self._usage_null + b"}\n\n"
        self._content = self._open + b'{"content":'
        self._reasoning = self._open + b'{"' + reasoning_field.encode() + b'":'
        self._text_close = b"}" + self._close

    def role(self) -> bytes:
        return self.delta({"role": "assistant", "content": ""})

    def reasoning(self, text: str) -> bytes:
        return self._reasoning + orjson.dumps(text) + self._text_close

    def content(self, text: str) -> bytes:
        return self._content + orjson.dumps(text) + self._text_close

    def question(self, suspended: Suspended) -> bytes:
        """Whole, before the chunk that says that it is a question: as text, or as a call and its arguments."""
        if suspended.call is None:
            return self.content(suspended.question)
        return self.call(0, suspended.call)

    def call(self, index: int, call: FunctionCall) -> bytes:
        opened = tool_call(FunctionCall(call.id, call.name, ""))
        return self.delta({"tool_calls": [{"index": index, **opened}]}) + self.delta(
            {"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]}
        )

    def delta(self, delta: dict[str, Any]) -> bytes:
        return self._open + orjson.dumps(delta) + self._close

    def finish(self, reason: str) -> bytes:
        tail = b'{},"logprobs":null,"finish_reason":' + orjson.dumps(reason) + b"}]"
        return self._open + tail + self._usage_null + b"}\n\n"

    def usage(self, usage: dict[str, Any]) -> bytes:
        return self._head + b',"choices":[],"usage":' + orjson.dumps(usage) + b"}\n\n"

    @staticmethod
    def error(body: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps(body) + b"\n\n"
