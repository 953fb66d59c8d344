"""A Chat Completions request: read, checked, and put into our words. Every way to get it wrong is a `RequestError`
with its `param`.

Unknown fields are ignored, as OpenAI-compatible servers do; fields that we know but cannot honour are refused, never
ignored in silence. Our own extension is one object, `pir`, whose unknown keys are errors: nobody but our users writes
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from pir_serve.engines.base import SamplingParams
from pir_serve.errors import RequestError, Unsupported
from pir_serve.policy import is_housekeeping
from pir_serve.prompt import Message

ASK_TOOLS = frozenset({"ask_user", "ask_user_question", "AskUserQuestion", "request_user_input"})
"""Tools with which chat front ends offer to ask their user. We ask in the content, so that a request may carry them."""

_MAX_SEALED = 8
"""Sealed states looked at, newest first: the newest is the one that counts, and each costs a decryption."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
_STRICT = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Message(BaseModel):
    model_config = _STRICT
    role: str
    content: StrictStr | list[Any] | None = None
    tool_calls: list[Any] | None = None
    reasoning_details: Any = None


class _StreamOptions(BaseModel):
    model_config = _STRICT
    include_usage: bool | None = None


class PirOptions(BaseModel):
    """The `pir` object of a request."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    ask: Any = None
    """`auto`, `never`, `max=N`, N or `{"max": N}`."""
    session: str | None = Field(default=None, max_length=128)
    """Resume exactly this suspension."""
    action: Annotated[str, Field(pattern="^(new|resume)$")] | None = None
    """`new`: start fresh, whatever is suspended."""
    uncertainty: bool = False
    """Report the predictive entropy of each reasoning step."""
    strict: bool | None = None
    """Whether a session that is gone is refused instead of rebuilt; None: as the server is set."""
    conversation: str | None = Field(default=None, max_length=256)
    """The client's own id of the chat: narrows the search for a suspension."""


class ChatBody(BaseModel):
    """The fields of a request that we know. Wrong types are errors, as at OpenAI."""

    model_config = _STRICT
    model: str = Field(min_length=1, max_length=512)
    messages: list[_Message] = Field(min_length=1, max_length=10_000)
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = Field(default=None, gt=0)
    max_completion_tokens: int | None = Field(default=None, gt=0)
    temperature: Finite | None = Field(default=None, ge=0, le=2)
    top_p: Finite | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, lt=1 << 31)
    frequency_penalty: Finite | None = Field(default=None, ge=-2, le=2)
    presence_penalty: Finite | None = Field(default=None, ge=-2, le=2)
    seed: int | None = Field(default=None, ge=-(1 << 63), lt=1 << 63)
    stop: StrictStr | list[StrictStr] | None = None
    n: int | None = Field(default=None, ge=1)
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

    model: str
    """As the client wrote it, alias and all."""
    messages: tuple[Message, ...]
    """As the client sees them, one each; `prompt_messages` is what the model is given."""
    sealed: tuple[str, ...]
    """Sealed states echoed on assistant messages, newest first."""
    stream: bool
    include_usage: bool
    options: dict[str, Any]
    """What the client set of: max_tokens, stop, and the fields of `SamplingParams`; JSON types, stored with a
    suspension."""
    never_ask: bool
    """A program reads the reply (JSON wanted, or a front end's housekeeping): no question may come back."""
    pir: PirOptions

    @property
    def prompt_messages(self) -> list[Message]:
        """One system message first, then turns, neighbours of one role joined: the shape that every chat template
        takes."""
        system = "\n\n".join(m.content for m in self.messages if m.role == "system" and m.content)
        out = [Message("system", system)] if system else []
        for message in self.messages:
            if message.role == "system":
                continue
            if out and out[-1].role == message.role:
                out[-1] = Message(message.role, f"{out[-1].content}\n\n{message.content}")
            else:
                out.append(message)
        return out


def parse(raw: bytes) -> ChatRequest:
    """Raises: RequestError (or a kind of it) with the first thing that is wrong."""
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise RequestError("the body must be a JSON object")
    try:
        body = ChatBody.model_validate(data)
    except ValidationError as error:
        raise _wrong_field(error) from None
    _refuse_unsupported(body)
    messages = tuple(_message(k, m) for k, m in enumerate(body.messages))
    if messages[-1].role != "user":
        raise RequestError(
            f"the last message is from the {messages[-1].role}; it must be from the user",
            param=f"messages[{len(messages) - 1}].role",
        )
    return ChatRequest(
        model=body.model,
        messages=messages,
        sealed=_sealed_states(body.messages),
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        options=_options(body),
        never_ask=_wants_json(body.response_format) or is_housekeeping(messages[-1].content),
        pir=body.pir or PirOptions(),
    )


def sampling(options: dict[str, Any]) -> SamplingParams:
    """From `ChatRequest.options`, stored ones included; what it does not name keeps its default."""
    names = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
    return SamplingParams(**{name: options[name] for name in names if name in options})


def _message(k: int, message: _Message) -> Message:
    param = f"messages[{k}]"
    role = "system" if message.role == "developer" else message.role
    if role in ("tool", "function") or message.tool_calls:
        raise Unsupported(f"{param} belongs to a tool call; this model does not call tools", param=param)
    if role not in ("system", "user", "assistant"):
        raise RequestError(
            f"{message.role!r} is no role; use system, developer, user or assistant", param=f"{param}.role"
        )
    content = message.content
    if content is None:
        if role != "assistant":
            raise RequestError(f"{param} has no content", param=f"{param}.content")
        content = ""
    if isinstance(content, list):
        content = "\n".join(_part(f"{param}.content[{j}]", part) for j, part in enumerate(content))
    return Message(role, content)


def _part(param: str, part: Any) -> str:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise RequestError(f"{param} must be an object with a type", param=param)
    if part["type"] not in ("text", "input_text", "output_text"):
        raise Unsupported(f"{param} is of type {part['type']!r}; this model reads text only", param=f"{param}.type")
    if not isinstance(part.get("text"), str):
        raise RequestError(f"{param}.text must be a string", param=f"{param}.text")
    return str(part["text"])


def _sealed_states(messages: list[_Message]) -> tuple[str, ...]:
    """What is not ours or has another shape is somebody else's state, and no error."""
    found = []
    for message in reversed(messages):
        details = message.reasoning_details if message.role == "assistant" else None
        for detail in details if isinstance(details, list) else ():
            if isinstance(detail, dict) and detail.get("format") == "pir-v1" and isinstance(detail.get("data"), str):
                found.append(detail["data"])
    return tuple(found[:_MAX_SEALED])


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
    if body.n is not None and body.n > 1:
        raise Unsupported("n must be 1: a reply may be a question, and only one can be answered", param="n")
    if body.logprobs or body.top_logprobs:
        raise Unsupported(
            'logprobs are not supported; {"pir": {"uncertainty": true}} reports the entropy of each reasoning step',
            param="logprobs",
        )
    if body.logit_bias:
        raise Unsupported("logit_bias is not supported", param="logit_bias")
    if body.functions:
        raise Unsupported("functions are not supported", param="functions")
    if body.modalities and body.modalities != ["text"]:
        raise Unsupported("this model writes text only", param="modalities")
    if body.stream_options is not None and not body.stream:
        raise RequestError("stream_options may only be set when stream is true", param="stream_options")
    if body.response_format is not None and body.response_format.get("type") not in (
        "text",
        "json_object",
        "json_schema",
    ):
        raise RequestError(
            "response_format.type must be text, json_object or json_schema", param="response_format.type"
        )
    if body.tool_choice != "none":
        for k, tool in enumerate(body.tools or ()):
            _refuse_tool(f"tools[{k}]", tool)
        if body.tool_choice == "required" or isinstance(body.tool_choice, dict):
            raise Unsupported("this model does not call tools; leave tool_choice out", param="tool_choice")


def _refuse_tool(param: str, tool: Any) -> None:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(tool, dict) or (tool.get("type") == "function" and not isinstance(function, dict)):
        raise RequestError(f"{param} is no tool definition", param=param)
    asks = isinstance(function, dict) and (function.get("name") in ASK_TOOLS or tool.get("x-pir-ask") is True)
    if not asks:
        raise Unsupported(
            f"{param} is not supported: this model does not call tools, it only asks the user", param=param
        )


def _wants_json(response_format: dict[str, Any] | None) -> bool:
    return response_format is not None and response_format.get("type") != "text"


def _wrong_field(error: ValidationError) -> RequestError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ""
    for part in first["loc"]:
        if isinstance(part, int):
            param += f"[{part}]"
        elif part not in ("str", "float", "int") and not part.startswith(
            ("list[", "dict[", "constrained")
        ):  # names of union arms
            param += f".{part}" if param else part
    if first["type"] == "missing" and param == "model":
        return RequestError("you must say which model: GET /v1/models lists them", param="model")
    return RequestError(f"{param}: {first['msg'][0].lower()}{first['msg'][1:]}", param=param)
