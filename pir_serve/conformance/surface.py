"""What the checks need of an API, in the words of none: a conversation, the request it becomes, the reply it gets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pir_serve.conformance.wire import Http, Raw

Carrier = Literal["text", "state", "session", "header", "call", "plain", "previous"]
"""What leads an answer back to its question: the visible conversation, opaque state echoed, an id in the body, an id
in a header, the id of a tool call with the call's result, the same with a plain message behind it, the id of the reply
that asked."""
Rule = Literal["framing", "order", "extension", "usage", "content"]
Trait = Literal["chat", "responses", "tool", "http", "socket", "background"]
"""What rules may depend on: the API, whether the client offers a question tool, and how requests travel. `http`: each
is answered by its own reply, whose headers tell of it."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a client's tool."""

    id: str
    name: str
    arguments: str
    """JSON, as it came."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a gateway said, in the words of no API."""

    raw: Raw
    text: str = ""
    """What the user sees: the question, in the content or in the call of a question tool, or the answer."""
    reasoning: str = ""
    finish: str | None = None
    """The finish reason, or the status of a response."""
    pir: Mapping[str, Any] = field(default_factory=dict)
    """The `pir` object; empty if there is none."""
    state: Any = None
    """Opaque state that a client may echo."""
    usage: Mapping[str, Any] | None = None
    """Under the names of Chat Completions."""
    error: Mapping[str, Any] | None = None
    id: str = ""
    calls: tuple[ToolCall, ...] = ()
    content: str = ""
    """The visible text without that of calls."""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.raw.status == 200 and self.error is None

    @property
    def asks(self) -> bool:
        return self.pir.get("status") == "awaiting_user"

    @property
    def resume(self) -> str:
        """The rung that it landed on, as the gateway says."""
        return self.raw.headers.get("x-pir-resume", "")


@dataclass(frozen=True, slots=True)
class Turn:
    """One visible message."""

    role: str
    text: str
    reply: Reply | None = None
    """The gateway's own reply, of which the text is; ids and state are taken from it where they are to be carried."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request before it has a shape."""

    model: str
    turns: tuple[Turn, ...]
    stream: bool
    carry: Carrier
    pir: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the body."""
    wants_usage: bool = True


class Surface(Protocol):
    """What the checks need of an API."""

    name: str
    path: str
    traits: frozenset[Trait]
    streams: tuple[bool, ...]
    """Whether replies come whole, streamed, or either."""
    usual: Carrier
    """How its clients answer, as a rule."""
    carriers: Mapping[Carrier, str]
    """How an answer may be carried here, and the value of `X-PIR-Resume` that it must land on."""
    finish: str
    """Of a question."""
    json_wanted: Mapping[str, Any]
    """Fields of a body that wants JSON in the reply."""

    def body(self, call: Call) -> dict[str, Any]:
        """The JSON of a request."""

    def headers(self, call: Call) -> dict[str, str]: ...

    def play(self, http: Http, call: Call) -> AsyncGenerator[Raw, None]:
        """Send it: the reply as far as it has come, again and again, the last time whole. Leaving early is a client
        that goes away."""

    def read(self, raw: Raw) -> Reply:
        """Lenient: what cannot be found is left at its default, for a check to miss."""

    def forgeries(self, reply: Reply) -> list[Any]:
        """Opaque states that look like the reply's and are not."""

    def faults(self, rule: Rule, raw: Raw, *, wants_usage: bool) -> list[str]:
        """What breaks a rule of this API's streams; nothing if all is well."""


QUESTION_TOOL = {
    "name": "ask_user",
    "description": "Ask the user something.",
    "parameters": {
        "type": "object",
        "properties": {"question": {"type": "string"}},
        "required": ["question"],
        "additionalProperties": False,
    },
}
"""The question tool that clients offer here, in the schema that is the simplest of all."""


def session_headers(call: Call) -> dict[str, str]:
    """The headers of a call, the one that carries its answer included."""
    asked = last_asked(call.turns)
    if call.carry != "header" or asked is None:
        return dict(call.headers)
    return {"X-PIR-Session": str(asked.pir.get("session")), **call.headers}


def pir_of(call: Call) -> dict[str, Any]:
    """The `pir` object of a request."""
    asked = last_asked(call.turns)
    named = {"session": asked.pir.get("session")} if call.carry == "session" and asked else {}
    return {**call.pir, **named}


def call_id(call: Call, turn: Turn, at: int) -> str:
    """The id by which a history's call goes, `at` being its place: its own where that carries the answer, else another,
    as bridges between APIs give them."""
    assert turn.reply is not None
    return turn.reply.calls[0].id if call.carry in ("call", "plain", "previous") else f"call_bridged_{at}"


def last_asked(turns: Sequence[Turn]) -> Reply | None:
    """The newest reply among them."""
    return next((t.reply for t in reversed(turns) if t.reply is not None), None)


def first(value: Any) -> Mapping[str, Any]:
    return mapping(value[0]) if isinstance(value, list) and value else {}


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """Those of a list's elements that are objects."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""
