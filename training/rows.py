"""Training rows from whatever people have: one JSON object a line, in any of these shapes.

    {"parts": [{"author": "template", "text": ...}, ...]}     our own rows, and what `pir sessions export` writes
    {"messages": [{"role": "user", "content": ...}, ...]}     OpenAI's shape; the assistant's reasoning in its content or
                                                              in `reasoning` / `reasoning_content`, with or without tags
    {"conversations": [{"from": "human", "value": ...}, ...], "system": ...}     ShareGPT's, as the published data set

A conversation in which the assistant asked in turns of its own (what a chat client stores) becomes one turn that asks in
its reasoning. Rows that would teach something broken are left out, and counted by reason.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pir_serve.errors import RequestError
from pir_serve.markup import TAGS
from pir_serve.prompt import Message, PromptCodec
from pir_serve.trajectory import Author, Segment
from training.chat import Part
from training.stage import read_lines

_EXCHANGE = re.compile(
    rf"{TAGS.ask_open}(?P<ask>.*?){TAGS.ask_close}\s*{TAGS.response_open}(?P<response>.*?){TAGS.response_close}",
    re.DOTALL,
)
_INNER = (TAGS.ask_open, TAGS.ask_close, TAGS.response_open, TAGS.response_close)
_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


class Unusable(ValueError):
    """A row that can be read but must not be learnt from; the message is the reason that is counted."""


class RowReader:
    """Reads rows for one model, whose tokenizer and template make the tokens."""

    def __init__(self, codec: PromptCodec | None = None, end: str = "") -> None:
        """Args:
        codec: None reads rows of parts only.
        end: text of the token that ends a turn.
        """
        self._codec, self._end = codec, end
        self.rejected: Counter[str] = Counter()

    def read(self, path: Path) -> list[list[Part]]:
        """The parts of every usable row. Raises: ValueError, naming the line that is no row; ConfigError: no such file."""
        rows = []
        for number, data in read_lines(path):
            try:
                rows.append(self.parts(data))
            except Unusable as reason:
                self.rejected[str(reason)] += 1
            except (AttributeError, KeyError, TypeError, ValueError, RequestError) as error:
                raise ValueError(f"{path}:{number}: not a row of authored parts or messages: {error!r}") from error
        return rows

    def parts(self, row: Mapping[str, Any]) -> list[Part]:
        """One row. Raises: Unusable, and what a wrong shape brings about."""
        if "parts" in row:
            return self._authored(row)
        if self._codec is None:
            raise ValueError("no `parts`")
        messages = messages_of(row)
        if not messages or messages[-1]["role"] != "assistant":
            raise Unusable("does not end with the assistant's turn")
        *before, last = messages
        asked, before = asked_in_turns(before)
        reasoning, answer = thought_of(last)
        if not answer.strip() or _has_tag(answer) or TAGS.think_close in answer:
            raise Unusable("malformed tags" if answer.strip() else "no answer")
        within, rest = exchanges_in(reasoning)
        rest = f"{rest.strip()}\n{TAGS.think_close}\n{answer.strip()}{self._end}"
        return [_part(Author.TEMPLATE, *encode_prompt(self._codec, before)), *self._turn([*asked, *within], rest)]

    def _authored(self, row: Mapping[str, Any]) -> list[Part]:
        status = row.get("status", "completed")
        if status != "completed":
            raise Unusable(f"status {status}")
        if row.get("malformed"):
            raise Unusable("malformed tags")
        is_ours = has_tokens_of(row, self._codec)
        return [
            Part(Author(part["author"]), part["text"], tuple(part["token_ids"]) if is_ours else None)
            for part in row["parts"]
        ]

    def _turn(self, exchanges: Sequence[Exchange], rest: str) -> list[Part]:
        """An assistant's whole turn, from behind `<think>`, as parts of the model and of the user."""
        assert self._codec is not None
        parts, between = list[Part](), ""
        for own, ask, said in exchanges:
            if _has_tag(own, ask) or not ask.strip():
                raise Unusable("malformed tags")
            lead = f"{own.strip()}\n" if own.strip() else ""
            asked = f"{between}{lead}{TAGS.ask_open}{ask.strip()}{TAGS.ask_close}"
            parts.append(_part(Author.MODEL, self._codec.encode_model(asked)))
            parts.append(_part(Author.USER, self._codec.encode_response(said.strip())))
            between = "\n"
        if _has_tag(rest):
            raise Unusable("malformed tags")
        return [*parts, _part(Author.MODEL, self._codec.encode_model(between + rest))]


def has_tokens_of(row: Mapping[str, Any], codec: PromptCodec | None) -> bool:
    """Whether an exported row's token ids are those of this tokenizer and template."""
    return codec is not None and row.get("digest") == codec.digest_as(str(row.get("model")))


Exchange = tuple[str, str, str]
"""Reasoning before it, question, reply."""


def encode_prompt(codec: PromptCodec, messages: Sequence[Mapping[str, str]]) -> tuple[Segment, ...]:
    """The prompt of a conversation; one with a system message of its own gets no other. Raises: RequestError."""
    if messages and messages[0]["role"] == "system":
        codec = copy.copy(codec)
        codec.preset = dataclasses.replace(codec.preset, system_prompt=None)
    return codec.encode_prompt([Message(m["role"], m["content"]) for m in messages])


def exchanges_in(thought: str) -> tuple[list[Exchange], str]:
    """The exchanges in a reasoning, and what follows the last of them."""
    found, at = list[Exchange](), 0
    for match in _EXCHANGE.finditer(thought):
        found.append((thought[at : match.start()], match["ask"], match["response"]))
        at = match.end()
    return found, thought[at:]


def _part(author: Author, *segments: Segment) -> Part:
    return Part(author, "".join(s.text for s in segments), tuple(i for s in segments for i in s.token_ids))


def _has_tag(*texts: str) -> bool:
    return any(tag in text for text in texts for tag in (*_INNER, TAGS.think_open))


def messages_of(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """`role`, `content` and `reasoning` of each. Raises: KeyError, TypeError: they are no messages."""
    given = row["messages"] if "messages" in row else row["conversations"]
    messages = []
    for message in given:
        role = _ROLES[str(message.get("role") or message.get("from"))]
        content = message.get("content", message.get("value"))
        if not isinstance(content, str):
            raise TypeError(f"content {content!r:.40} is no text")
        reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
        messages.append({"role": role, "content": content, "reasoning": str(reasoning)})
    if row.get("system") and (not messages or messages[0]["role"] != "system"):
        messages.insert(0, {"role": "system", "content": str(row["system"]), "reasoning": ""})
    return messages


def thought_of(message: Mapping[str, str]) -> tuple[str, str]:
    """Reasoning and answer of an assistant's message."""
    text = message["content"]
    if message["reasoning"]:
        return message["reasoning"].strip().removeprefix(TAGS.think_open), text
    thought, closed, answer = text.partition(TAGS.think_close)
    if not closed:
        return "", text
    return thought.strip().removeprefix(TAGS.think_open), answer


def asked_in_turns(before: Sequence[dict[str, str]]) -> tuple[list[Exchange], list[dict[str, str]]]:
    """The assistant's turns right before the last that were questions, with their replies; and what is left."""
    left, asked = list(before), list[Exchange]()
    while len(left) >= 3 and left[-1]["role"] == "user" and left[-2]["role"] == "assistant":
        reasoning, question = thought_of(left[-2])
        if not question.strip().endswith(("?", "？", "؟")):
            break
        asked.insert(0, (reasoning, question, left[-1]["content"]))
        left = left[:-2]
    return asked, left
