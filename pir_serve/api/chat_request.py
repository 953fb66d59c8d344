"""A Chat Completions request: read, checked, and put into our words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, StrictStr

from pir_serve.api.conversation import Call, Said, read_conversation
from pir_serve.api.request import (
    MAX_SEALED,
    STRICT,
    Finite,
    PirOptions,
    TurnRequest,
    read_body_as,
    read_object,
    read_tools,
    sealed_details,
    text_part,
    wants_json,
)
from pir_serve.errors import RequestError, Unsupported
from pir_serve.policy import is_housekeeping
from pir_serve.resume import CALL_PREFIX

MAX_CHOICES = 16
"""Of `n`: each is a generation of its own."""


class ChatMessage(BaseModel):
    model_config = STRICT
    role: str
    content: StrictStr | list[Any] | None = None
    tool_calls: list[Any] | None = None
    tool_call_id: Any = None
    reasoning_details: Any = None
    provider_specific_fields: Any = None
    """Where the LiteLLM proxy puts fields that it does not know, and from where clients echo them."""


class StreamOptions(BaseModel):
    model_config = STRICT
    include_usage: bool | None = None


class ChatBody(BaseModel):
    """The fields of a request that we know. Wrong types are errors, as at OpenAI."""

    model_config = STRICT
    model: str = Field(min_length=1, max_length=512)
    messages: list[ChatMessage] = Field(min_length=1, max_length=10_000)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, gt=0)
    max_completion_tokens: int | None = Field(default=None, gt=0)
    temperature: Finite | None = Field(default=None, ge=0, le=2)
    top_p: Finite | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, lt=1 << 31)
    frequency_penalty: Finite | None = Field(default=None, ge=-2, le=2)
    presence_penalty: Finite | None = Field(default=None, ge=-2, le=2)
    seed: int | None = Field(default=None, ge=-(1 << 63), lt=1 << 63)
    stop: StrictStr | list[StrictStr] | None = None
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    logit_bias: dict[str, Finite] | None = None
    tools: list[Any] | None = None
    tool_choice: StrictStr | dict[str, Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    modalities: list[StrictStr] | None = None
    user: str | None = None
    metadata: dict[str, StrictStr] | None = None
    pir: PirOptions | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a checked body asks for."""

    turn: TurnRequest
    stream: bool
    include_usage: bool
    n: int


def parse(raw: bytes) -> ChatRequest:
    """Raises: RequestError (or a kind of it) with the first thing that is wrong."""
    body = read_body_as(ChatBody, read_object(raw))
    _refuse_unsupported(body)
    tools = read_tools(body.tools, body.tool_choice)
    said = [_said(k, m) for k, m in enumerate(body.messages)]
    last = len(said) - 1
    if said[last].role not in ("user", "tool"):
        raise RequestError(
            f"the last message is from the {said[last].role}; it must be from the user", param=f"messages[{last}].role"
        )
    _refuse_answers_to_nothing(said)
    n = body.n or 1
    turn = TurnRequest(
        model=body.model,
        conversation=read_conversation(said, tools.ask),
        sealed=_sealed_states(body.messages),
        options=_options(body),
        tools=tools,
        never_ask=wants_json(body.response_format, "response_format") or is_housekeeping(said[last].text) or n > 1,
        pir=body.pir or PirOptions(),
    )
    include_usage = bool(body.stream_options and body.stream_options.include_usage)
    return ChatRequest(turn, stream=bool(body.stream), include_usage=include_usage, n=n)


def _said(k: int, message: ChatMessage) -> Said:
    param = f"messages[{k}]"
    role = "system" if message.role == "developer" else message.role
    if role not in ("system", "user", "assistant", "tool"):
        raise RequestError(
            f"{message.role!r} is no role; use system, developer, user, assistant or tool", param=f"{param}.role"
        )
    if message.content is None and role != "assistant":
        raise RequestError(f"{param} has no content", param=f"{param}.content")
    if role == "tool":
        return _tool_said(param, message)
    content = message.content or ""
    if isinstance(content, list):
        content = "\n".join(text_part(f"{param}.content[{j}]", part) for j, part in enumerate(content))
    calls = message.tool_calls or [] if role == "assistant" else []
    return Said(role, content, tuple(_call(f"{param}.tool_calls[{j}]", call) for j, call in enumerate(calls)))


def _tool_said(param: str, message: ChatMessage) -> Said:
    if not isinstance(message.tool_call_id, str) or not message.tool_call_id:
        raise RequestError(f"{param} does not say which call it answers", param=f"{param}.tool_call_id")
    output = message.content
    if isinstance(output, list):
        texts = [text_part(f"{param}.content[{j}]", part) for j, part in enumerate(output)]
        return Said("tool", "\n".join(texts), call_id=message.tool_call_id, output=output)
    return Said("tool", output or "", call_id=message.tool_call_id, output=output)


def _call(param: str, call: Any) -> Call:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(call.get("id"), str):
        raise RequestError(f"{param} is no call of a function with an id", param=param)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, str):
        raise RequestError(f"{param}.function needs a name and arguments, both strings", param=f"{param}.function")
    return Call(call["id"], name, arguments)


def _refuse_answers_to_nothing(said: list[Said]) -> None:
    """Raises: RequestError, where a tool's message follows no call: the client has lost something."""
    known: set[str] = set()
    for k, one in enumerate(said):
        known |= {call.id for call in one.calls}
        if one.role == "tool" and one.call_id not in known and not one.call_id.startswith(CALL_PREFIX):
            raise RequestError(
                f"messages[{k}] answers the call {one.call_id[:80]!r}, which no message before it has",
                param=f"messages[{k}].tool_call_id",
            )


def _sealed_states(messages: list[ChatMessage]) -> tuple[str, ...]:
    found: list[str] = []
    for message in reversed(messages):
        if message.role == "assistant":
            moved = message.provider_specific_fields
            found += sealed_details(message.reasoning_details)
            found += sealed_details(moved.get("reasoning_details") if isinstance(moved, dict) else None)
    return tuple(found[:MAX_SEALED])


def _options(body: ChatBody) -> dict[str, Any]:
    stop = [body.stop] if isinstance(body.stop, str) else body.stop
    if stop and (len(stop) > 4 or not all(stop)):
        raise RequestError("stop takes at most 4 strings, none of them empty", param="stop")
    values: dict[str, Any] = {
        "max_tokens": body.max_completion_tokens or body.max_tokens,
        "stop": stop,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k if body.top_k and body.top_k > 0 else None,
        "seed": body.seed,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
    }
    return {name: value for name, value in values.items() if value is not None}


def _refuse_unsupported(body: ChatBody) -> None:
    if body.logprobs or body.top_logprobs:
        raise Unsupported(
            'logprobs are not supported; {"pir": {"uncertainty": true}} reports the entropy of each reasoning step',
            param="logprobs",
        )
    if body.logit_bias:
        raise Unsupported("logit_bias is not supported", param="logit_bias")
    if body.functions:
        raise Unsupported("functions are not supported; use tools", param="functions")
    if body.modalities and body.modalities != ["text"]:
        raise Unsupported("this model writes text only", param="modalities")
    if body.stream_options is not None and not body.stream:
        raise RequestError("stream_options may only be set when stream is true", param="stream_options")
