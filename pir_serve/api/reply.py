"""The shapes of Chat Completions replies, whole and in chunks. Bytes only; what they say is decided elsewhere."""

from __future__ import annotations

from typing import Any

import orjson

from pir_serve.loop import RunUsage, StepScored
from pir_serve.trajectory import Author, Trajectory

DONE = b"data: [DONE]\n\n"
KEEPALIVE = b": keepalive\n\n"
"""A comment, and never an `id:` line beside it: the two together break the OpenAI Python SDK."""


def usage_object(usage: RunUsage) -> dict[str, Any]:
    cached = None if usage.cached_tokens is None else {"cached_tokens": usage.cached_tokens}
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": cached,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def pir_object(trajectory: Trajectory, steps: list[StepScored] | None, extra: dict[str, Any]) -> dict[str, Any]:
    """The `pir` object of a reply. `steps` is None unless the request wanted them; `extra` names the suspension, if
    any."""
    auto = [{"question": e.ask.text, "response": e.response} for e in trajectory.exchanges if e.by is Author.TEMPLATE]
    out: dict[str, Any] = {"status": trajectory.status.value, **extra}
    out |= {"num_asks": trajectory.num_asks, "auto_answers": auto}
    if trajectory.detail:
        out["detail"] = trajectory.detail
    if trajectory.malformed:
        out["malformed"] = list(trajectory.malformed)
    if steps is not None:
        out["uncertainty"] = [
            {
                "leg": s.leg,
                "text": s.step.text,
                "start": s.step.start,
                "end": s.step.end,
                "entropy": s.step.entropy,
                "num_tokens": s.step.num_tokens,
            }
            for s in steps
        ]
    return out


def reasoning_details(sid: str, data: str) -> list[dict[str, Any]]:
    """OpenRouter's field: the one opaque state that a stock front end sends back by itself."""
    return [{"type": "reasoning.encrypted", "format": "pir-v1", "id": sid, "index": 0, "data": data}]


def completion(
    reply_id: str, created: int, model: str, *, message: dict[str, Any], finish_reason: str, usage: RunUsage
) -> dict[str, Any]:
    return {
        "id": reply_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": usage_object(usage),
    }


class ChunkWriter:
    """Server-sent events of one reply. All but the text of a chunk is laid out once: this runs for every burst of
    tokens."""

    def __init__(self, reply_id: str, created: int, model: str, *, reasoning_field: str, include_usage: bool) -> None:
        head = {"id": reply_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._head = b"data: " + orjson.dumps(head)[:-1]
        self._usage_null = b',"usage":null' if include_usage else b""
        self._open = self._head + b',"choices":[{"index":0,"delta":'
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

    def delta(self, delta: dict[str, Any]) -> bytes:
        return self._open + orjson.dumps(delta) + self._close

    def finish(self, reason: str) -> bytes:
        tail = b'{},"logprobs":null,"finish_reason":' + orjson.dumps(reason) + b"}]"
        return self._open + tail + self._usage_null + b"}\n\n"

    def usage(self, usage: RunUsage) -> bytes:
        return self._head + b',"choices":[],"usage":' + orjson.dumps(usage_object(usage)) + b"}\n\n"

    @staticmethod
    def error(body: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps(body) + b"\n\n"
