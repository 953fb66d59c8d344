"""The Responses API: a question is a completed response, its message or the call of a client's question tool."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pir_serve.conformance import responses_stream
from pir_serve.conformance.chat import question_in
from pir_serve.conformance.surface import (
    QUESTION_TOOL,
    Call,
    Carrier,
    Reply,
    Rule,
    ToolCall,
    Trait,
    Turn,
    call_id,
    last_asked,
    mapping,
    mappings,
    pir_of,
    session_headers,
    text,
)
from pir_serve.conformance.wire import Http, Raw


class Responses:
    """POST /v1/responses, questions as messages."""

    name = "responses"
    path = "/v1/responses"
    traits: frozenset[Trait] = frozenset({"responses", "http"})
    streams: tuple[bool, ...] = (False, True)
    usual: Carrier = "previous"
    carriers: Mapping[Carrier, str] = {
        "text": "hash", "state": "sealed", "session": "exact", "header": "exact", "previous": "exact",
    }  # fmt: skip
    finish = "completed"
    json_wanted: Mapping[str, Any] = {"text": {"format": {"type": "json_object"}}}

    def body(self, call: Call) -> dict[str, Any]:
        pir = pir_of(call)
        asked = last_asked(call.turns)
        body: dict[str, Any] = {"model": call.model, "input": _items(call)}
        if call.carry == "previous" and asked is not None:
            body["previous_response_id"] = asked.id
        if call.stream:
            body["stream"] = True
        return body | ({"pir": pir} if pir else {}) | dict(call.fields)

    def headers(self, call: Call) -> dict[str, str]:
        return session_headers(call)

    def play(self, http: Http, call: Call) -> AsyncGenerator[Raw, None]:
        return http.follow(self.path, self.body(call), self.headers(call))

    def read(self, raw: Raw) -> Reply:
        body = responses_stream.assembled(raw) if raw.is_stream else mapping(raw.json)
        if body.get("object") != "response":
            return Reply(raw, error=mapping(body.get("error")))
        items = mappings(body.get("output"))
        calls = tuple(_tool_call(item) for item in items if item.get("type") == "function_call")
        content = _text_of(items, "message")
        states = [item["encrypted_content"] for item in items if item.get("encrypted_content")]
        return Reply(
            raw,
            text="\n\n".join(filter(None, [content, *(question_in(one.arguments) for one in calls)])),
            reasoning=_text_of(items, "reasoning"),
            finish=body.get("status"),
            pir=mapping(body.get("pir")),
            state=states[-1] if states else None,
            usage=_usage(mapping(body.get("usage"))),
            id=text(body.get("id")),
            calls=calls,
            content=content,
            metadata=mapping(body.get("metadata")),
        )

    def forgeries(self, reply: Reply) -> list[Any]:
        state = text(reply.state)
        return [state[: len(state) // 2], state[::-1], "nonsense", ""] if state else []

    def faults(self, rule: Rule, raw: Raw, *, wants_usage: bool) -> list[str]:
        return responses_stream.faults(rule, raw)


class ResponsesTool(Responses):
    """The same from a client that offers a question tool: questions come as its call, answers go as its output."""

    name = "responses-tool"
    traits: frozenset[Trait] = frozenset({"responses", "http", "tool"})
    carriers: Mapping[Carrier, str] = {**Responses.carriers, "call": "exact", "plain": "exact"}

    def body(self, call: Call) -> dict[str, Any]:
        return {"tools": [{"type": "function", "strict": False, **QUESTION_TOOL}], **super().body(call)}


def _items(call: Call) -> list[dict[str, Any]]:
    """Of the turns that the request must send: those that its carrier does not bring along."""
    turns = list(enumerate(call.turns))
    open_call = ""
    if call.carry in ("session", "header"):
        turns = turns[-1:]
    elif call.carry == "previous":
        answered = max((k for k, turn in turns if turn.reply is not None), default=-1)
        if answered >= 0 and (reply := call.turns[answered].reply) and reply.calls:
            open_call = reply.calls[0].id
        turns = turns[answered + 1 :]
    out: list[dict[str, Any]] = []
    for k, turn in turns:
        if turn.role == "user" and open_call and call.carry != "plain":
            out.append({"type": "function_call_output", "call_id": open_call, "output": turn.text})
        else:
            out += _items_of(call, turn, k)
        has_call = turn.role == "assistant" and turn.reply is not None and turn.reply.calls
        open_call = call_id(call, turn, k) if has_call else ""
    return out


def _items_of(call: Call, turn: Turn, at: int) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if turn.role != "assistant":
        return [{"type": "message", "role": turn.role, "content": turn.text}]
    if call.carry == "state" and turn.reply is not None and turn.reply.state is not None:
        out.append({"type": "reasoning", "summary": [], "encrypted_content": turn.reply.state})
    if turn.reply is not None and turn.reply.calls:
        function = {"name": turn.reply.calls[0].name, "arguments": json.dumps({"question": turn.text})}
        return [*out, {"type": "function_call", "call_id": call_id(call, turn, at), **function}]
    content = [{"type": "output_text", "text": turn.text, "annotations": []}]
    return [*out, {"type": "message", "role": "assistant", "content": content}]


def _tool_call(item: Mapping[str, Any]) -> ToolCall:
    return ToolCall(text(item.get("call_id")), text(item.get("name")), text(item.get("arguments")))


def _text_of(items: list[Mapping[str, Any]], kind: str) -> str:
    found = [item for item in items if item.get("type") == kind]
    return "".join(text(part.get("text")) for item in found for part in mappings(item.get("content")))


def _usage(given: Mapping[str, Any]) -> dict[str, Any] | None:
    names = {
        "input_tokens": "prompt_tokens",
        "output_tokens": "completion_tokens",
        "total_tokens": "total_tokens",
        "output_tokens_details": "completion_tokens_details",
    }
    return {ours: given[theirs] for theirs, ours in names.items() if theirs in given} or None
