"""The messages of a request as turns for the chat template: checked, harmless, with what the preset adds to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pir_serve.errors import RequestError
from pir_serve.markup import TAGS, neutralise
from pir_serve.presets import Preset
from pir_serve.prompting.encoder import Part, without_private
from pir_serve.prompting.template import Turn
from pir_serve.trajectory import Author

MAX_MESSAGES = 10_000

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """An ordinary tool's call in the past."""

    name: str
    arguments: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Message:
    """One visible message of a conversation."""

    role: str
    """system (or developer, the same), user, assistant; tool, where the template knows tools: what a call brought."""
    content: str
    calls: tuple[ToolCall, ...] = ()
    """Of an assistant's message, where the template knows tools."""


def harmless(text: str) -> str:
    """What somebody wrote, without what would read as a tag of ours."""
    # In this order: what is taken out must not bring the halves of a tag together.
    return neutralise(without_private(text))


def turns_of(messages: Sequence[Message], preset: Preset) -> list[Turn]:
    """The system messages at the beginning as one turn, behind the preset's own; then a turn for each message.

    Raises:
        RequestError: none or too many messages, an unknown role, or the last is not the user's.
    """
    _check(messages)
    leading = 0
    while _ROLES[messages[leading].role] == "system":
        leading += 1
    system = [text for m in messages[:leading] if (text := harmless(m.content))]
    turns = [Turn("system", parts)] if (parts := _system(preset, system)) else []
    suffix = preset.user_suffix
    for message in messages[leading:]:
        role, text = _ROLES[message.role], message.content
        if role == "assistant":
            text = text.rpartition(TAGS.think_close)[2]  # of the past, only what was visible
        part = Part(Author.USER, harmless(text))
        if role == "user" and suffix:
            boxed = "\\boxed" in text
            turns.append(Turn(role, (part,) if boxed else (part, Part(Author.TEMPLATE, suffix, trusted=True))))
            suffix = ""
        else:
            calls = tuple((harmless(call.name), harmless(call.arguments)) for call in message.calls)
            turns.append(Turn(role, (part,), calls))
    return turns


def _check(messages: Sequence[Message]) -> None:
    if not messages or len(messages) > MAX_MESSAGES:
        raise RequestError(f"{len(messages)} messages; between 1 and {MAX_MESSAGES} are needed", param="messages")
    for k, message in enumerate(messages):
        if message.role not in _ROLES:
            known = ", ".join(_ROLES)
            raise RequestError(f"role {message.role!r}; known are {known}", param=f"messages[{k}].role")
    if messages[-1].role not in ("user", "tool"):
        raise RequestError(f"the last message is of the {messages[-1].role}; it must be the user's", param="messages")


def _system(preset: Preset, texts: Sequence[str]) -> tuple[Part, ...]:
    """The preset's system prompt and the user's own behind it, an empty line between."""
    own = Part(Author.TEMPLATE, preset.system_prompt or "", trusted=True)
    parts = [part for part in (own, *(Part(Author.USER, text) for text in texts)) if part.text]
    gap = Part(Author.TEMPLATE, "\n\n")
    return tuple(piece for k, part in enumerate(parts) for piece in ((gap, part) if k else (part,)))
