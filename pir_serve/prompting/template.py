"""A model's own chat template, rendered once with slots in place of what people wrote.

Whoever wrote a message, its words never pass through the template: they cannot become part of its control text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pir_serve.errors import ConfigError, RequestError
from pir_serve.prompting.encoder import SLOTS, Part, slot
from pir_serve.trajectory import Author

logger = logging.getLogger(__name__)

_MAX_SLOTS = 30_000
_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: its role as templates know it, and its words."""

    role: str
    parts: tuple[Part, ...]
    calls: tuple[tuple[str, str], ...] = ()
    """Names and arguments (JSON) of the tools that it calls."""


class _Opaque:
    """A JSON value that a template can only print, with `tojson`: a slot stands for its text."""

    def __init__(self, slot_character: str) -> None:
        self.slot = slot_character


class ChatTemplate:
    """Renders turns the way transformers' `apply_chat_template` does, generation prompt included."""

    def __init__(self, source: str, variables: dict[str, str]) -> None:
        """`variables`: bos_token and its like.

        Raises:
            ConfigError: the template is not valid.
        """
        self.source = source
        self._variables = variables
        self._warned = False
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateError as error:
            raise ConfigError(f"the model's chat template is not valid: {error}") from error

    @cached_property
    def knows_tools(self) -> bool:
        """Whether it shows tools, calls and what they brought, and calls are to be written as we can read them: JSON in
        `<tool_call>`, as Hermes and Qwen models write them."""
        if "<tool_call>" not in self.source or "tools" not in self.source:
            return False
        turns = [Turn("user", (Part(Author.USER, "a"),)), Turn("assistant", (Part(Author.USER, "b"),), (("c", "{}"),))]
        turns.append(Turn("tool", (Part(Author.USER, "d"),)))
        try:
            parts = self.render(turns, tools=["{}"])
        except RequestError:
            return False
        return [part.text for part in parts if not part.trusted] == ["{}", "a", "b", "c", "{}", "d"]

    @cached_property
    def with_system(self) -> Literal["shows", "leaves_out", "refuses"]:
        """What it does with a system message before a user's."""
        messages = [{"role": "system", "content": slot(0)}, {"role": "user", "content": slot(1)}]
        try:
            text = self._template.render(messages=messages, add_generation_prompt=True, **self._variables)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError):
            return "refuses"
        return "shows" if slot(0) in text else "leaves_out"

    def render(self, turns: Sequence[Turn], tools: Sequence[str] = ()) -> list[Part]:
        """The prompt in parts: the template's text, trusted, and the words of each turn where they belong.

        `tools`: definitions (JSON), where it knows tools.

        Raises:
            RequestError: the template refused the turns (roles out of order, say), or left out one of them.
        """
        fields = [_Fields(turn.parts, slot(k)) for k, turn in enumerate(turns)]
        messages: list[dict[str, Any]] = [
            {"role": turn.role, "content": f.content} for turn, f in zip(turns, fields, strict=True)
        ]
        by_slot = {f.slot: f for f in fields}
        variables: dict[str, Any] = self._variables

        def slotted(text: str) -> str:
            if len(by_slot) >= _MAX_SLOTS:
                raise RequestError("too many messages, tool calls and tools", param="messages")
            field = _Fields((Part(Author.USER, text),), slot(len(by_slot)))
            by_slot[field.slot] = field
            return field.slot

        for message, turn in zip(messages, turns, strict=True):
            if turn.calls:
                message["tool_calls"] = [
                    {"type": "function", "function": {"name": slotted(name), "arguments": _Opaque(slotted(arguments))}}
                    for name, arguments in turn.calls
                ]
        if tools:
            variables = {**variables, "tools": [_Opaque(slotted(tool)) for tool in tools]}
        try:
            text = self._template.render(messages=messages, add_generation_prompt=True, **variables)
        except jinja2.TemplateError as error:
            raise RequestError(f"the model's chat template refused the messages: {error}", param="messages") from error
        except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise RequestError(
                f"the model's chat template failed on the messages: {error}", param="messages"
            ) from error
        self._check_none_left_out(text, turns, fields)
        parts: list[Part] = []
        at = 0
        for found in SLOTS.finditer(text):
            before, at = text[at : found.start()], found.end()
            by_slot[found[0]].place(before, parts)
        parts.append(Part(Author.TEMPLATE, text[at:], trusted=True))
        return [part for part in parts if part.text]

    def _check_none_left_out(self, text: str, turns: Sequence[Turn], fields: Sequence[_Fields]) -> None:
        for k, (turn, f) in enumerate(zip(turns, fields, strict=True)):
            if f.core and f.slot not in text:
                if turn.role != "system":
                    raise RequestError(
                        f"the model's chat template leaves out message {k}, of the {turn.role}", param="messages"
                    )
                if not self._warned:
                    logger.warning("the model's chat template has no place for system messages: they are left out")
                self._warned = True


class _Fields:
    """The content of one message as the template sees it: a slot between the white space at the words' edges.

    The white space is real, so that a template that trims, trims; words of white space only are passed as they are.
    """

    def __init__(self, parts: tuple[Part, ...], slot_character: str) -> None:
        self.slot = slot_character
        text = "".join(part.text for part in parts)
        self.core = text.strip()
        self.lead = text[: len(text) - len(text.lstrip())] if self.core else ""
        self._trail = text[len(text.rstrip()) :] if self.core else ""
        self._parts = _cut(parts, len(self.lead), len(text) - len(self._trail))
        self.content = f"{self.lead}{self.slot}{self._trail}" if self.core else text

    def place(self, before: str, parts: list[Part]) -> None:
        """Add the template's text up to the slot, then the words."""
        parts.append(Part(Author.TEMPLATE, before, trusted=True))
        parts.extend(self._parts)


def _cut(parts: Sequence[Part], start: int, end: int) -> list[Part]:
    """The parts between two positions of their common text."""
    kept, at = [], 0
    for part in parts:
        text = part.text[max(0, start - at) : max(0, end - at)]
        kept.append(Part(part.author, text, part.trusted))
        at += len(part.text)
    return [part for part in kept if part.text]


def read_template(directory: Path, config: dict[str, Any]) -> ChatTemplate:
    """The chat template of a model's folder; `config` is its tokenizer_config.json.

    Raises:
        ConfigError: there is none, or it is not valid.
    """
    variables = {name: text for name in _TOKEN_NAMES if (text := _token_text(config.get(name))) is not None}
    file = directory / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.is_file() else config.get("chat_template")
    if isinstance(source, list):  # several by name
        source = {entry["name"]: entry["template"] for entry in source}.get("default")
    if not isinstance(source, str):
        raise ConfigError(
            f"{directory} has no chat template; it needs a chat_template.jinja, "
            "or chat_template in its tokenizer_config.json"
        )
    return ChatTemplate(source, variables)


def _token_text(token: object) -> str | None:
    """A special token in tokenizer_config.json: its string, or an object with it."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


class _Generation(Extension):
    """`{% generation %}` marks, for training, what the assistant wrote; rendering ignores it."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    """As transformers sets it up: templates are written against that."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, sort_keys: bool = False) -> str:
    """JSON without HTML escapes, unlike Jinja's own."""
    if isinstance(value, _Opaque):
        return value.slot
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)
