"""What a request asks for, whichever surface it came by, and the checks that all surfaces share. Every way to get it
wrong is a `RequestError` with its `param`.

Unknown fields are ignored, as OpenAI-compatible servers do; fields that we know but cannot honour are refused, never
ignored in silence. Our own extension is one object, `pir`, whose unknown keys are errors: nobody but our users writes
it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pir_serve.api.conversation import Conversation
from pir_serve.ask_tools import DEFAULT_NAMES, AskTool, recognise
from pir_serve.engines.base import SamplingParams
from pir_serve.errors import RequestError, Unsupported
from pir_serve.store.sealed import FORMAT

MAX_SEALED = 8
"""Sealed states looked at, newest first: the newest is the one that counts, and each costs a decryption."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
STRICT = ConfigDict(strict=True, extra="ignore", frozen=True)
AskVia = Literal["auto", "content", "tool"]
_Body = TypeVar("_Body", bound=BaseModel)


class PirOptions(BaseModel):
    """The `pir` object of a request."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    ask: Any = None
    """`auto`, `never`, `max=N`, N or `{"max": N}`."""
    ask_via: AskVia | None = None
    """How a question comes: as the request's question tool, or in the content; None: as the server is set."""
    session: str | None = Field(default=None, max_length=128)
    """Resume exactly this suspension."""
    action: Annotated[str, Field(pattern="^(new|resume)$")] | None = None
    """`new`: start fresh, whatever is suspended."""
    gate: Annotated[float, Field(ge=0, le=100)] | Literal["off"] | None = None
    """Predictive entropy of a reasoning step, in nats a token, above which the model is made to ask; None: as the
    reasoning began, else as the server is set."""
    uncertainty: bool = False
    """Report the predictive entropy of each reasoning step."""
    strict: bool | None = None
    """Whether a session that is gone is refused instead of rebuilt; None: as the server is set."""
    conversation: str | None = Field(default=None, max_length=256)
    """The client's own id of the chat: narrows the search for a suspension."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a request offers to call."""

    ask: AskTool | None = None
    """The client's question tool."""
    others: tuple[Mapping[str, Any], ...] = ()
    """Function definitions (`name`, `description`, `parameters`) of the others, and hosted tools by their type."""

    @property
    def names(self) -> list[str]:
        return [str(tool.get("name", tool.get("type", ""))) for tool in self.others]


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """What a checked request asks for."""

    model: str
    """As the client wrote it, alias and all."""
    conversation: Conversation
    pir: PirOptions = field(default_factory=PirOptions)
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the client set of: max_tokens, stop, and the fields of `SamplingParams`; JSON types, stored with a
    suspension."""
    sealed: tuple[str, ...] = ()
    """Sealed states echoed by the client, newest first."""
    tools: Tools = Tools()
    never_ask: bool = False
    """A program reads the reply (JSON wanted, several choices, a front end's housekeeping): no question may come."""
    begins_new: bool = False
    """Whether it is known that nothing is resumed."""
    is_kept: bool = True
    """Whether we may keep what comes of it; else the client does (`encrypted_content`)."""


def read_object(raw: bytes | str) -> dict[str, Any]:
    """The JSON object of a body. Raises: RequestError."""
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise RequestError("the body must be a JSON object")
    return data


def read_body_as(kind: type[_Body], data: Mapping[str, Any]) -> _Body:
    """Raises: RequestError, with the first field that is wrong."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _wrong_field(error) from None


def sampling(options: Mapping[str, Any]) -> SamplingParams:
    """From `TurnRequest.options`, stored ones included; what it does not name keeps its default."""
    names = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
    return SamplingParams(**{name: options[name] for name in names if name in options})


def read_tools(tools: list[Any] | None, tool_choice: Any, names: Collection[str] = DEFAULT_NAMES) -> Tools:
    """Raises: RequestError, Unsupported, where a tool is malformed or a call is demanded."""
    ask = recognise(tools, names)
    if tool_choice == "none":
        return Tools()
    if tool_choice not in (None, "auto"):
        raise Unsupported(
            "this model decides by itself whether it calls a tool; leave tool_choice out, or use auto or none",
            param="tool_choice",
        )
    others = [tool.get("function", tool) for k, tool in enumerate(tools or ()) if ask is None or k != ask.index]
    return Tools(ask, tuple(others))


def sealed_details(details: Any) -> list[str]:
    """Our sealed states in `reasoning_details`. What is not ours or has another shape is somebody else's state, and no
    error."""
    found = [d for d in details if isinstance(d, dict)] if isinstance(details, list) else []
    return [d["data"] for d in found if d.get("format") == FORMAT and isinstance(d.get("data"), str)]


def text_part(param: str, part: Any) -> str:
    """The text of a content part. Raises: RequestError, Unsupported."""
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise RequestError(f"{param} must be an object with a type", param=param)
    if part["type"] == "refusal" and isinstance(part.get("refusal"), str):
        return str(part["refusal"])
    if part["type"] not in ("text", "input_text", "output_text"):
        raise Unsupported(f"{param} is of type {part['type']!r}; this model reads text only", param=f"{param}.type")
    if not isinstance(part.get("text"), str):
        raise RequestError(f"{param}.text must be a string", param=f"{param}.text")
    return str(part["text"])


def wants_json(text_format: Mapping[str, Any] | None, param: str) -> bool:
    """Whether a `response_format` or `text.format` wants JSON. Raises: RequestError."""
    kind = (text_format or {}).get("type", "text") if isinstance(text_format, Mapping) or text_format is None else None
    if kind not in ("text", "json_object", "json_schema"):
        raise RequestError(f"{param}.type must be text, json_object or json_schema", param=f"{param}.type")
    return bool(kind != "text")


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
