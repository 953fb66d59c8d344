"""The response object and its output items, as OpenAI's SDKs read them."""

from __future__ import annotations

from typing import Any

from pir_serve.api.responses.body import ResponsesRequest
from pir_serve.api.responses.items import Item
from pir_serve.api.turn import Turn
from pir_serve.errors import PirError
from pir_serve.loop import RunUsage


def response_object(
    turn: Turn, request: ResponsesRequest, *, response_id: str, created: int, previous: str | None
) -> dict[str, Any]:
    """While it is being made: without output, usage and outcome. `previous`: the response that it follows."""
    body, sampling = request.body, turn.params.sampling
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": bool(body.background),
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": dict(body.metadata or {}),
        "model": body.model,
        "output": [],
        "parallel_tool_calls": False,
        "previous_response_id": previous,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": request.is_stored,
        "temperature": sampling.temperature,
        "text": {"format": _text_format(body.text)},
        "tool_choice": body.tool_choice or "auto",
        "tools": [_tool(tool) for tool in body.tools or ()],
        "top_logprobs": 0,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "truncation": "disabled",
        "usage": None,
        "prompt_cache_key": body.prompt_cache_key,
        **({} if body.user is None else {"user": body.user}),  # never null at OpenAI
    }


def usage_object(usage: RunUsage, num_auto_answers: int = 0) -> dict[str, Any]:
    out: dict[str, Any] = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    return {**out, "pir": {"auto_answers": num_auto_answers}} if num_auto_answers else out


def error_object(error: PirError | None, message: str = "internal error") -> dict[str, Any]:
    """Of a failed response. The codes are a closed list, so that ours stands in the message."""
    if error is not None:
        message = f"{error.code}: {error.message}" if error.code else error.message
    return {"code": "server_error", "message": message}


def reasoning_item(item_id: str, text: str | None, sealed: str | None, status: str) -> Item:
    """`text` is None where reasoning is not shown."""
    content = [] if text is None else [{"type": "reasoning_text", "text": text}]
    item = {"id": item_id, "type": "reasoning", "summary": [], "content": content, "status": status}
    return item if sealed is None else {**item, "encrypted_content": sealed}  # Open Responses knows no null here


def message_item(item_id: str, content: list[Item], status: str) -> Item:
    return {"id": item_id, "type": "message", "role": "assistant", "content": content, "status": status}


def call_item(item_id: str, call_id: str, name: str, arguments: str, status: str) -> Item:
    item = {"id": item_id, "type": "function_call", "call_id": call_id, "name": name}
    return {**item, "arguments": arguments, "status": status}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    description, strict = tool.get("description"), tool.get("strict")
    return {
        "type": "function",
        "name": tool["name"],
        "description": description if isinstance(description, str) else None,
        "parameters": tool.get("parameters"),
        "strict": strict if isinstance(strict, bool) else None,
    }


def _text_format(text: dict[str, Any] | None) -> dict[str, Any]:
    given = (text or {}).get("format")
    return dict(given) if isinstance(given, dict) else {"type": "text"}
