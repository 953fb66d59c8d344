"""An API's shapes: how a conversation becomes a request, and what of a reply is question, reasoning and state.

One adapter a surface. The checks speak of conversations only; whatever differs from one API to the next is in here,
faults of a stream's order included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from pir_serve.conformance import chat_stream
from pir_serve.conformance.wire import Raw

Carrier = Literal["text", "state", "session", "header", "call"]
"""What leads an answer back to its question: the visible conversation, opaque state echoed, an id in the body, an id
in a header, the id of a tool call."""
Rule = Literal["framing", "order", "extension", "usage"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a gateway said, in the words of no API."""

    raw: Raw
    text: str = ""
    """What the user sees: the question, or the answer."""
    reasoning: str = ""
    finish: str | None = None
    pir: Mapping[str, Any] = field(default_factory=dict)
    """The `pir` object; empty if there is none."""
    state: Any = None
    """Opaque state that a client may echo."""
    usage: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None

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
    carry: Carrier = "text"
    pir: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the body."""
    wants_usage: bool = True


class Surface(Protocol):
    """What the checks need of an API."""

    name: str
    path: str
    carriers: Mapping[Carrier, str]
    """How an answer may be carried here, and the value of `X-PIR-Resume` that it must land on."""

    def body(self, call: Call) -> dict[str, Any]:
        """The JSON of a request."""

    def headers(self, call: Call) -> dict[str, str]: ...

    def read(self, raw: Raw) -> Reply:
        """Lenient: what cannot be found is left at its default, for a check to miss."""

    def forgeries(self, reply: Reply) -> list[Any]:
        """Opaque states that look like the reply's and are not."""

    def faults(self, rule: Rule, raw: Raw, *, wants_usage: bool) -> list[str]:
        """What breaks a rule of this API's streams; nothing if all is well."""


class Chat:
    """POST /v1/chat/completions, questions as content."""

    name = "chat"
    path = "/v1/chat/completions"
    carriers: Mapping[Carrier, str] = {"text": "hash", "state": "sealed", "session": "exact", "header": "exact"}

    def body(self, call: Call) -> dict[str, Any]:
        asked = _last_asked(call.turns)
        pir = dict(call.pir)
        turns = call.turns
        if call.carry in ("session", "header"):
            turns = turns[-1:]
            if call.carry == "session":
                pir["session"] = asked.pir.get("session") if asked else None
        body: dict[str, Any] = {"model": call.model, "messages": [_message(t, call.carry) for t in turns]}
        if call.stream:
            body["stream"] = True
            if call.wants_usage:
                body["stream_options"] = {"include_usage": True}
        return body | ({"pir": pir} if pir else {}) | dict(call.fields)

    def headers(self, call: Call) -> dict[str, str]:
        asked = _last_asked(call.turns)
        if call.carry != "header" or asked is None:
            return dict(call.headers)
        return {"X-PIR-Session": str(asked.pir.get("session")), **call.headers}

    def read(self, raw: Raw) -> Reply:
        if raw.is_stream:
            return _read_chunks(raw)
        body = raw.json if isinstance(raw.json, dict) else {}
        if "error" in body:
            return Reply(raw, error=_mapping(body["error"]))
        choice = _first(body.get("choices"))
        message = _mapping(choice.get("message"))
        return Reply(
            raw,
            text=_text(message.get("content")),
            reasoning=_text(message.get("reasoning_content") or message.get("reasoning")),
            finish=choice.get("finish_reason"),
            pir=_mapping(message.get("pir")),
            state=message.get("reasoning_details"),
            usage=_mapping(body.get("usage")) or None,
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


def _message(turn: Turn, carry: Carrier) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.reply is not None and turn.role == "assistant" and carry == "state" and turn.reply.state is not None:
        message["reasoning_details"] = turn.reply.state
    return message


def _read_chunks(raw: Raw) -> Reply:
    text, reasoning, finish = "", "", None
    pir: Mapping[str, Any] = {}
    state: Any = None
    usage: Mapping[str, Any] | None = None
    for frame in raw.frames:
        chunk = _mapping(frame.json)
        if "error" in chunk:
            return Reply(raw, text, reasoning, finish, pir, state, usage, error=_mapping(chunk["error"]))
        usage = _mapping(chunk.get("usage")) or usage
        choice = _first(chunk.get("choices"))
        delta = _mapping(choice.get("delta"))
        text += _text(delta.get("content"))
        reasoning += _text(delta.get("reasoning_content") or delta.get("reasoning"))
        finish = choice.get("finish_reason") or finish
        pir = _mapping(delta.get("pir")) or pir
        state = delta.get("reasoning_details") or state
    return Reply(raw, text, reasoning, finish, pir, state, usage)


def _last_asked(turns: Sequence[Turn]) -> Reply | None:
    return next((t.reply for t in reversed(turns) if t.reply is not None), None)


def _first(value: Any) -> Mapping[str, Any]:
    return _mapping(value[0]) if isinstance(value, list) and value else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


SURFACES: Mapping[str, Surface] = {surface.name: surface for surface in (Chat(),)}
