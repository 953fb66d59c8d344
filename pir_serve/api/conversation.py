"""A conversation as clients send it, with tool calls or without, put into what the model reads and what is hashed.

A call of the question tool and its output are, to us, a question in plain text and the user's answer: so the same
conversation leads back to the same reasoning, whichever way its client asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pir_serve.ask_tools import DEFAULT_NAMES, AskTool, question_of, unwrap
from pir_serve.prompt import Message, ToolCall
from pir_serve.resume import CALL_PREFIX

NO_ANSWER = "(no answer)"
"""What stands in the transcript where the user has not answered a call; the model is told the server's own words."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call of the assistant."""

    id: str
    name: str
    arguments: str
    """JSON, as the client sent it."""


@dataclass(frozen=True, slots=True)
class Said:
    """One message of either surface."""

    role: str
    """system, user, assistant or tool."""
    text: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    """Of a tool message: the call that it answers."""
    output: Any = None
    """Of a tool message: what came back, in the client's shape; `text` is its text."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What of it counts."""

    messages: tuple[Message, ...]
    """The visible ones: questions are the assistant's, whether it called a tool for them; answers the user's."""
    tool_call_id: str | None = None
    """The call of ours that the last messages answer."""
    declined: str = ""
    """Why they do not answer it after all (`ask_tools.Declined`); "" if they do."""
    tool_messages: tuple[Message, ...] = field(default=(), repr=False)
    """The same for a model whose template knows tools: with ordinary calls, and what they brought."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(role, text), for hashing."""
        return [(m.role, m.content) for m in self.messages]

    def prompt_messages(self, *, with_tools: bool = False) -> list[Message]:
        """One system message first, then turns, neighbours of one role joined: the shape that every chat template
        takes."""
        messages = self.tool_messages if with_tools else self.messages
        system = "\n\n".join(m.content for m in messages if m.role == "system" and m.content)
        out = [Message("system", system)] if system else []
        for message in messages:
            if message.role == "system":
                continue
            if out and out[-1].role == message.role != "tool":
                text = "\n\n".join(filter(None, (out[-1].content, message.content)))
                out[-1] = Message(message.role, text, (*out[-1].calls, *message.calls))
            else:
                out.append(message)
        return out


def read_conversation(said: Sequence[Said], tool: AskTool | None = None) -> Conversation:
    """`tool` is the request's own question tool; those known by name are recognised in the past without it."""
    reader = _Reader(said, DEFAULT_NAMES | ({tool.name} if tool else set()))
    for k, one in enumerate(said):
        reader.read(k, one)
    return Conversation(tuple(reader.messages), reader.tool_call_id, reader.declined, tuple(reader.tool_messages))


class _Reader:
    def __init__(self, said: Sequence[Said], ask_names: frozenset[str]) -> None:
        self.said = said
        self.ask_names = ask_names
        self.messages: list[Message] = []
        self.tool_messages: list[Message] = []
        self.tool_call_id: str | None = None
        self.declined = ""
        self._calls: dict[str, Call] = {}

    def read(self, k: int, one: Said) -> None:
        if one.role == "assistant":
            self._assistant(one)
        elif one.role == "tool":
            self._tool(k, one)
        else:
            self._add(Message(one.role, one.text))
            if one.role == "user":
                self.declined = ""

    def _assistant(self, one: Said) -> None:
        self._calls |= {call.id: call for call in one.calls}
        asks = [call for call in one.calls if self._asks(call)]
        texts = [one.text, *(question_of(call.arguments) or "" for call in asks)]
        text = "\n\n".join(filter(None, texts))
        others = [call for call in one.calls if call not in asks]
        # Even a message of calls only parts what was said before it from what is said after it.
        plain = text or f"(called {', '.join(call.name for call in others)})" if others else text
        calls = tuple(ToolCall(call.name, call.arguments) for call in others)
        self._add(Message("assistant", plain), Message("assistant", text, calls))
        self.declined = ""
        self.tool_call_id = next((call.id for call in asks if call.id.startswith(CALL_PREFIX)), None)

    def _tool(self, k: int, one: Said) -> None:
        call = self._calls.get(one.call_id)
        if not (one.call_id.startswith(CALL_PREFIX) or (call is not None and self._asks(call))):
            name = call.name if call else "the tool"
            self._add(Message("user", f"Result of {name}:\n{one.text}"), Message("tool", one.text))
            return
        if one.call_id.startswith(CALL_PREFIX):
            self.tool_call_id = one.call_id
        question = (question_of(call.arguments) or "") if call else ""
        answer = unwrap(one.output, question)
        if answer.text is not None:
            self._add(Message("user", answer.text))
            self.declined = ""
        elif not (k + 1 < len(self.said) and self.said[k + 1].role == "user"):  # who writes on, answers
            self._add(Message("user", NO_ANSWER))
            self.declined = answer.declined or "empty"

    def _add(self, message: Message, with_tools: Message | None = None) -> None:
        self.messages.append(message)
        self.tool_messages.append(with_tools or message)

    def _asks(self, call: Call) -> bool:
        return call.id.startswith(CALL_PREFIX) or call.name in self.ask_names


def text_of(output: Any) -> str:
    """Of a tool's output: itself, or the text parts of a list."""
    if isinstance(output, str):
        return output
    parts = output if isinstance(output, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and "text" in part)
