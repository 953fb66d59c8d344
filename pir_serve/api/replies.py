"""JSON Schemas of what the gateway replies, for `openapi`. They are closed: a field that is not here is not sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pir_serve.store.responses import ResponseStatus
from pir_serve.trajectory import Author, Status

Schema = dict[str, Any]


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _one_of(*values: Any) -> Schema:
    return {"enum": list(values)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema, **more: Schema) -> Schema:
    return _object({"object": _one_of("list"), "data": _array(items), **more})


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "integer", "description": "Unix seconds."}
_NUMBER: Schema = {"type": "number"}
_FLAG: Schema = {"type": "boolean"}
_NULL: Schema = {"type": "null"}
_ANY: Schema = {}
_FREE: Schema = {"type": "object"}
_STATUS = _one_of(*(status.value for status in Status))
_AUTHOR = _one_of(*(author.value for author in Author))
_STEP = {"text": _TEXT, "start": _COUNT, "end": _COUNT, "entropy": _NUMBER, "num_tokens": _COUNT, "peak": _NUMBER}

# fmt: off
_COMMON: dict[str, Schema] = {
    "Error": _object({"error": _object({
        "message": _TEXT, "type": _TEXT, "param": nullable(_TEXT), "code": nullable(_TEXT),
    })}),
    "Pir": _object(
        {
            "status": _STATUS, "num_asks": _COUNT,
            "auto_answers": _array(_object({"question": _TEXT, "response": _TEXT, "reason": _TEXT})),
        },
        {
            "node": _TEXT, "session": _TEXT, "question": _TEXT, "expires_at": _TIME, "stored": _one_of(False), "detail": _TEXT,
            "malformed": _array(_TEXT), "ignored_tools": _array(_TEXT), "volunteered": _array(_TEXT), "resume": _TEXT,
            "uncertainty": _array(_object({"leg": _COUNT, **_STEP})),
        },
    ),
    "PirUsage": _object({"auto_answers": _COUNT}),
    "Model": _object({
        "id": _TEXT, "object": _one_of("model"), "created": _TIME, "owned_by": _TEXT, "max_model_len": _COUNT,
        "pir": _object({"ask": _TEXT, "revision": _TEXT}),
    }),
    "Models": _list(_ref("Model")),
    "Examples": _list(_FREE, model=_TEXT),
    "Health": _object({"status": _one_of("ok")}),
    "Ready": _object({
        "status": _one_of("ready", "not_ready", "draining"), "store": _FLAG,
        "engines": {"type": "object", "additionalProperties": _FLAG},
        "servers": {"type": "object", "additionalProperties": _array(_object(
            {"name": _TEXT, "state": _one_of("up", "suspect", "down", "draining")}, {"legs": _COUNT},
        ))},
    }),
}

_CHAT: dict[str, Schema] = {
    "ChatToolCall": _object({
        "id": _TEXT, "type": _one_of("function"), "function": _object({"name": _TEXT, "arguments": _TEXT}),
    }),
    "ChatReply": _object(
        {"role": _one_of("assistant"), "content": nullable(_TEXT), "refusal": _NULL, "pir": _ref("Pir")},
        {
            "reasoning_content": _TEXT, "reasoning": _TEXT, "tool_calls": _array(_ref("ChatToolCall")),
            "reasoning_details": _array(_object({
                "type": _TEXT, "format": _TEXT, "id": _TEXT, "index": _COUNT, "data": _TEXT,
            })),
        },
    ),
    "ChatUsage": _object(
        {
            "prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT,
            "prompt_tokens_details": nullable(_object({"cached_tokens": _COUNT})),
            "completion_tokens_details": _object({"reasoning_tokens": _COUNT}),
        },
        {"pir": _ref("PirUsage")},
    ),
    "ChatCompletion": _object({
        "id": _TEXT, "object": _one_of("chat.completion"), "created": _TIME, "model": _TEXT, "usage": _ref("ChatUsage"),
        "choices": _array(_object({
            "index": _COUNT, "message": _ref("ChatReply"), "logprobs": _NULL,
            "finish_reason": _one_of("stop", "length", "tool_calls"),
        })),
    }),
}

_ITEM = {"id": _TEXT, "status": _one_of("in_progress", "completed", "incomplete")}
_MESSAGE = {**_ITEM, "type": _one_of("message")}
_REASONING = {"type": _one_of("reasoning"), "summary": _array(_ANY)}
_INPUT_PART = _object({"type": _one_of("input_text"), "text": _TEXT})
_OUTPUT_PART = _object({
    "type": _one_of("output_text"), "text": _TEXT, "annotations": _array(_ANY), "logprobs": _array(_ANY),
})
_FUNCTION_CALL = _object({
    **_ITEM, "type": _one_of("function_call"), "call_id": _TEXT, "name": _TEXT, "arguments": _TEXT,
})

_RESPONSES: dict[str, Schema] = {
    "OutputItem": {"anyOf": [
        _object(
            {**_ITEM, **_REASONING, "content": _array(_object({"type": _one_of("reasoning_text"), "text": _TEXT}))},
            {"encrypted_content": _TEXT},
        ),
        _object({**_MESSAGE, "role": _one_of("assistant"), "content": _array(_OUTPUT_PART)}),
        _FUNCTION_CALL,
    ]},
    "InputItem": {"anyOf": [
        _object({
            **_MESSAGE, "role": _one_of("user", "system", "developer", "assistant"),
            "content": _array({"anyOf": [_INPUT_PART, _OUTPUT_PART]}),
        }),
        _FUNCTION_CALL,
        _object({
            **_ITEM, "type": _one_of("function_call_output"), "call_id": _TEXT,
            "output": {"anyOf": [_TEXT, _array(_INPUT_PART)]},
        }),
        _object({"id": _TEXT, **_REASONING, "encrypted_content": nullable(_TEXT)}),
    ]},
    "InputItems": _list(_ref("InputItem"), first_id=_TEXT, last_id=_TEXT, has_more=_FLAG),
    "ResponseUsage": _object(
        {
            "input_tokens": _COUNT, "output_tokens": _COUNT, "total_tokens": _COUNT,
            "input_tokens_details": _object({"cached_tokens": _COUNT, "cache_write_tokens": _COUNT}),
            "output_tokens_details": _object({"reasoning_tokens": _COUNT}),
        },
        {"pir": _ref("PirUsage")},
    ),
    "Response": _object(
        {
            "id": _TEXT, "object": _one_of("response"), "created_at": _TIME, "completed_at": nullable(_TIME),
            "status": _one_of(*(status.value for status in ResponseStatus)),
            "error": nullable(_object({"code": _TEXT, "message": _TEXT})),
            "incomplete_details": nullable(_object({"reason": _TEXT})),
            "output": _array(_ref("OutputItem")), "usage": nullable(_ref("ResponseUsage")),
            "model": _TEXT, "background": _FLAG, "store": _FLAG, "previous_response_id": nullable(_TEXT),
            "instructions": nullable(_TEXT), "metadata": {"type": "object", "additionalProperties": _TEXT},
            "max_output_tokens": nullable(_COUNT), "max_tool_calls": nullable({"type": "integer"}),
            "parallel_tool_calls": _FLAG, "tool_choice": _ANY, "tools": _array(_FREE), "text": _FREE, "reasoning": _FREE,
            "temperature": _NUMBER, "top_p": _NUMBER, "frequency_penalty": _NUMBER, "presence_penalty": _NUMBER,
            "top_logprobs": _COUNT, "truncation": _TEXT,
            "service_tier": _TEXT, "safety_identifier": nullable(_TEXT), "prompt_cache_key": nullable(_TEXT),
        },
        {"pir": _ref("Pir"), "user": _TEXT},
    ),
    "ResponseDeleted": _object({"id": _TEXT, "object": _one_of("response"), "deleted": _one_of(True)}),
}

_SESSION = {
    "id": _TEXT, "object": _one_of("pir.session"), "title": _TEXT, "status": _STATUS, "question": nullable(_TEXT),
    "model": _TEXT, "newest": _TEXT, "num_nodes": _COUNT, "num_waiting": _COUNT,
    "created_at": _TIME, "updated_at": _TIME, "expires_at": _TIME,
}
_MORE = {"has_more": _FLAG, "next_cursor": nullable(_TEXT)}

_SESSIONS: dict[str, Schema] = {
    "Session": _object(_SESSION),
    "Sessions": _list(_ref("Session"), **_MORE),
    "SessionTree": _object({**_SESSION, "branches": _array(_ref("Node")), **_MORE}),
    "SessionDeleted": _object({
        "id": _TEXT, "object": _one_of("pir.node.deleted", "pir.session.deleted"), "deleted": _one_of(True),
        "num_nodes": _COUNT,
    }),
    "Exchange": _object({
        "question": _TEXT, "original": nullable(_TEXT), "opened_by": _AUTHOR, "response": _TEXT, "by": _AUTHOR,
        "reason": nullable(_TEXT),
    }),
    "Segment": _object(
        {"author": _AUTHOR, "text": _TEXT, "num_tokens": _COUNT},
        {
            "token_ids": _array(_COUNT), "sampled_ids": nullable(_array(_COUNT)), "logprobs": nullable(_array(_NUMBER)),
            "uncertainty": nullable(_array(_object(_STEP))),
        },
    ),
    "Node": _object(
        {
            "id": _TEXT, "object": _one_of("pir.node"), "parent": nullable(_TEXT), "status": _STATUS,
            "detail": nullable(_TEXT), "malformed": _array(_TEXT), "model": _TEXT, "question": nullable(_TEXT),
            "answer": nullable(_TEXT), "created_at": _TIME, "expires_at": _TIME, "num_tokens": _COUNT,
            "num_asks": _COUNT, "exchanges": _array(_ref("Exchange")), "volunteered": _array(_TEXT),
            "resume": nullable(_object({"path": _TEXT, "possible": _FLAG, "options": _FREE})),
            "children": _array(_ref("Node")),
        },
        {"segments": _array(_ref("Segment"))},
    ),
}
# fmt: on

SCHEMAS: dict[str, Schema] = {**_COMMON, **_CHAT, **_RESPONSES, **_SESSIONS}
"""By name, as in `#/components/schemas`."""
