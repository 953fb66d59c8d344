"""Chat Completions: questions as content, or as calls of the question tool that a client offers."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from pir_serve.conformance import chat_stream
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
    first,
    mapping,
    mappings,
    pir_of,
    session_headers,
    text,
)
from pir_serve.conformance.wire import Http, Raw


class Chat:
    """POST /v1/chat/completions, questions as content."""

    name = "chat"
    path = "/v1/chat/completions"
    traits: frozenset[Trait] = frozenset({"chat", "http"})
    streams: tuple[bool, ...] = (False, True)
    usual: Carrier = "text"
    carriers: Mapping[Carrier, str] = {"text": "hash", "state": "sealed", "session": "exact", "header": "exact"}
    finish = "stop"
    json_wanted: Mapping[str, Any] = {"response_format": {"type": "json_object"}}

    def body(self, call: Call) -> dict[str, Any]:
        pir = pir_of(call)
        body: dict[str, Any] = {"model": call.model, "messages": _messages(call)}
        if call.stream:
            body["stream"] = True
            if call.wants_usage:
                body["stream_options"] = {"include_usage": True}
        return body | ({"pir": pir} if pir else {}) | dict(call.fields)

    def headers(self, call: Call) -> dict[str, str]:
        return session_headers(call)

    def play(self, http: Http, call: Call) -> AsyncGenerator[Raw, None]:
        return http.follow(self.path, self.body(call), self.headers(call))

    def read(self, raw: Raw) -> Reply:
        body = _assembled(raw) if raw.is_stream else mapping(raw.json)
        choice = first(body.get("choices"))
        message = mapping(choice.get("message"))
        calls = tuple(_tool_call(one) for one in mappings(message.get("tool_calls")))
        content = text(message.get("content"))
        return Reply(
            raw,
            text="\n\n".join(filter(None, [content, *(question_in(one.arguments) for one in calls)])),
            reasoning=text(message.get("reasoning_content") or message.get("reasoning")),
            finish=choice.get("finish_reason"),
            pir=mapping(message.get("pir")),
            state=message.get("reasoning_details"),
            usage=mapping(body.get("usage")) or None,
            error=mapping(body["error"]) if "error" in body else None,
            id=text(body.get("id")),
            calls=calls,
            content=content,
        )

    def forgeries(self, reply: Reply) -> list[Any]:
        if not isinstance(reply.state, list) or not reply.state or not isinstance(reply.state[0], dict):
            return []
        state = reply.state[0]
        data = str(state.get("data") or "")
        cut = [{**state, "data": data[: len(data) // 2]}]
        return [cut, [{**state, "data": data[::-1]}], [{**state, "data": 7}], "nonsense", [None, {"format": "pir-v1"}]]

    def faults(self, rule: Rule, raw: Raw, *, wants_usage: bool) -> list[str]:
        return chat_stream.faults(rule, raw, wants_usage=wants_usage)


class ChatTool(Chat):
    """The same from a client that offers a question tool: questions come as its call, answers go as its result."""

    name = "chat-tool"
    traits: frozenset[Trait] = frozenset({"chat", "http", "tool"})
    usual: Carrier = "call"
    carriers: Mapping[Carrier, str] = {**Chat.carriers, "call": "exact", "plain": "exact"}
    finish = "tool_calls"

    def body(self, call: Call) -> dict[str, Any]:
        return {"tools": [{"type": "function", "function": QUESTION_TOOL}], **super().body(call)}


def question_in(arguments: str) -> str:
    """What a call of the question tool asks; "" if it asks nothing."""
    try:
        return text(mapping(json.loads(arguments)).get("question"))
    except ValueError:
        return ""


def _messages(call: Call) -> list[dict[str, Any]]:
    turns = call.turns[-1:] if call.carry in ("session", "header") else call.turns
    out: list[dict[str, Any]] = []
    open_call = ""
    for k, turn in enumerate(turns):
        if turn.role == "user" and open_call and call.carry != "plain":
            out.append({"role": "tool", "tool_call_id": open_call, "content": turn.text})
        else:
            out.append(_message(call, turn, k))
        has_call = turn.role == "assistant" and turn.reply is not None and turn.reply.calls
        open_call = call_id(call, turn, k) if has_call else ""
    return out


def _message(call: Call, turn: Turn, at: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.reply is None or turn.role != "assistant":
        return message
    if turn.reply.calls:
        function = {"name": turn.reply.calls[0].name, "arguments": json.dumps({"question": turn.text})}
        message["content"] = None
        message["tool_calls"] = [{"id": call_id(call, turn, at), "type": "function", "function": function}]
    if call.carry == "state" and turn.reply.state is not None:
        message["reasoning_details"] = turn.reply.state
    return message


def _tool_call(found: Mapping[str, Any]) -> ToolCall:
    function = mapping(found.get("function"))
    return ToolCall(text(found.get("id")), text(function.get("name")), text(function.get("arguments")))


def _assembled(raw: Raw) -> dict[str, Any]:
    """The whole reply that a stream tells of, as far as it has come."""
    message: dict[str, Any] = {}
    body: dict[str, Any] = {"choices": [{"message": message}]}
    calls: dict[Any, dict[str, Any]] = {}
    for frame in raw.frames:
        chunk = mapping(frame.json)
        if "error" in chunk:
            return body | {"error": chunk["error"]}
        body["id"] = chunk.get("id") or body.get("id")
        body["usage"] = chunk.get("usage") or body.get("usage")
        choice = first(chunk.get("choices"))
        delta = mapping(choice.get("delta"))
        for name in ("content", "reasoning_content", "reasoning"):
            if isinstance(delta.get(name), str):
                message[name] = message.get(name, "") + delta[name]
        for name in ("pir", "reasoning_details"):
            message[name] = delta.get(name) or message.get(name)
        _add_calls(calls, mappings(delta.get("tool_calls")))
        if choice.get("finish_reason"):
            body["choices"][0]["finish_reason"] = choice["finish_reason"]
    message["tool_calls"] = list(calls.values())
    return body


def _add_calls(calls: dict[Any, dict[str, Any]], fragments: Sequence[Mapping[str, Any]]) -> None:
    for fragment in fragments:
        place = calls.setdefault(fragment.get("index"), {"id": "", "function": {"name": "", "arguments": ""}})
        place["id"] += text(fragment.get("id"))
        for name in ("name", "arguments"):
            place["function"][name] += text(mapping(fragment.get("function")).get(name))
