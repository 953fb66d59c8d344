"""A request of the Responses API: read and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictStr

from pir_serve.api.request import STRICT, Finite, PirOptions, Tools, read_body_as, read_tools, wants_json
from pir_serve.api.responses.items import Item, read_input, said_of
from pir_serve.errors import RequestError, Unsupported
from pir_serve.policy import is_housekeeping

_Word = Annotated[str, Field(max_length=512)]


class ResponsesBody(BaseModel):
    """The fields of a request that we know. Wrong types are errors, as at OpenAI."""

    model_config = STRICT
    model: str = Field(min_length=1, max_length=512)
    input: StrictStr | list[Any]
    instructions: str | None = None
    previous_response_id: str | None = Field(default=None, max_length=128)
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    max_output_tokens: int | None = Field(default=None, gt=0)
    temperature: Finite | None = Field(default=None, ge=0, le=2)
    top_p: Finite | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, lt=1 << 31)
    frequency_penalty: Finite | None = Field(default=None, ge=-2, le=2)
    presence_penalty: Finite | None = Field(default=None, ge=-2, le=2)
    seed: int | None = Field(default=None, ge=-(1 << 63), lt=1 << 63)
    tools: list[Any] | None = None
    tool_choice: StrictStr | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], _Word] | None = Field(default=None, max_length=16)
    include: list[StrictStr] | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    truncation: str | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    conversation: Any = None
    prompt: Any = None
    context_management: Any = None
    moderation: Any = None
    generate: bool | None = None
    pir: PirOptions | None = None


_UNSUPPORTED = {
    "conversation": "conversations are not kept by id; chain responses with previous_response_id",
    "prompt": "prompt templates are not kept here; send instructions and input",
    "context_management": "the conversation is never compacted here",
    "moderation": "there is no moderation here; the question screen is set by the server",
}


@dataclass(frozen=True, slots=True)
class ResponsesRequest:
    """What a checked body asks for."""

    body: ResponsesBody
    items: tuple[Item, ...]
    """Its own input."""
    tools: Tools
    options: Mapping[str, Any]
    """As in `TurnRequest`."""
    never_ask: bool
    """JSON is wanted."""

    @property
    def is_stored(self) -> bool:
        return self.body.store is not False

    @property
    def pir(self) -> PirOptions:
        return self.body.pir or PirOptions()


@contextmanager
def own_params() -> Iterator[None]:
    """What goes wrong within names our fields, not those of Chat Completions."""
    try:
        yield
    except RequestError as error:
        error.param = {"max_tokens": "max_output_tokens", "messages": "input"}.get(error.param or "", error.param)
        raise


def parse(data: Mapping[str, Any]) -> ResponsesRequest:
    """Raises: RequestError (or a kind of it) with the first thing that is wrong."""
    body = read_body_as(ResponsesBody, data)
    _refuse_unsupported(body)
    items = read_input(body.input)
    last = items[-1]
    if last["type"] not in ("message", "function_call_output") or last.get("role") == "assistant":
        raise RequestError("the last item must be a message of the user, or the output of a call", param="input")
    for k, tool in enumerate(body.tools or ()):
        kind = tool.get("type") if isinstance(tool, dict) else "function"
        if kind != "function":
            raise Unsupported(
                f"tools[{k}] is of type {str(kind)[:60]!r}; no tools are hosted here, only functions are supported",
                param=f"tools[{k}].type",
            )
        if isinstance(tool, dict) and not isinstance(tool.get("name"), str):
            raise RequestError(f"tools[{k}] has no name", param=f"tools[{k}].name")
    text_format = (body.text or {}).get("format")
    never_ask = wants_json(text_format, "text.format") or is_housekeeping(said_of(items)[-1].text)
    if text_format and text_format["type"] == "json_schema":
        for key, kind in (("name", str), ("schema", dict)):
            if not isinstance(text_format.get(key), kind):
                raise RequestError(f"text.format.{key} is missing or of a wrong type", param=f"text.format.{key}")
    wanted = {
        "max_tokens": body.max_output_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k if body.top_k and body.top_k > 0 else None,
        "seed": body.seed,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
    }
    return ResponsesRequest(
        body,
        items,
        read_tools(body.tools, body.tool_choice),
        {name: value for name, value in wanted.items() if value is not None},
        never_ask=never_ask,
    )


def _refuse_unsupported(body: ResponsesBody) -> None:
    for name, why in _UNSUPPORTED.items():
        if getattr(body, name) is not None:
            raise Unsupported(f"{name} is not supported: {why}", param=name)
    if body.truncation not in (None, "disabled"):
        raise Unsupported(
            "truncation must be disabled: a conversation that is too long is an error", param="truncation"
        )
    if body.top_logprobs or "message.output_text.logprobs" in (body.include or ()):
        param = "top_logprobs" if body.top_logprobs else "include"
        raise Unsupported(
            'logprobs are not supported; {"pir": {"uncertainty": true}} reports the entropy of each reasoning step',
            param=param,
        )
    if body.generate is False:
        raise Unsupported("generate must be true: there is nothing to warm up", param="generate")
    if body.background and body.store is False:
        raise RequestError("background responses are found again by their id: store must not be false", param="store")
