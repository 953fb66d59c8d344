"""How our own small models see a conversation: special tokens, chat template, and examples as authored parts.

A training example is a tuple of parts, each with one author, and each part is encoded on its own, so that token
boundaries are those the server produces (it encodes the prompt, each sampled leg and each response apart).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from pir_serve.markup import TAGS
from pir_serve.trajectory import Author

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
SPECIALS = (PAD, USER, ASSISTANT, END)

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{ '<|assistant|>' + (message.content.split('</think>')[-1] | trim) + '<|end|>' }}
{%- elif message.role == 'user' -%}
{{ '<|user|>' + (message.content | trim) + '<|end|>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|assistant|><think>\\n' }}
{%- endif -%}
"""
"""A system message is not rendered: the small model was never trained with one."""


@dataclass(frozen=True, slots=True)
class Part:
    author: Author
    text: str
    ids: tuple[int, ...] | None = None
    """Its tokens, where they are known already (sampled, or encoded with what a user wrote kept harmless)."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One example as ids and, per token, who wrote it."""

    ids: list[int]
    by_model: list[bool]


def prompt(*turns: str) -> Part:
    """The rendered prompt of alternating user and assistant texts (user first and last), thinking opened."""
    assert len(turns) % 2 == 1, "a prompt ends with the user's turn"
    marks = (USER, ASSISTANT)
    text = "".join(f"{marks[k % 2]}{turn.strip()}{END}" for k, turn in enumerate(turns))
    return Part(Author.TEMPLATE, f"{text}{ASSISTANT}{TAGS.think_open}\n")


def ask(question: str) -> str:
    return f"{TAGS.ask_open}{question}{TAGS.ask_close}"


def response(text: str) -> Part:
    """What follows `</asking>`: the official observation format, without a trailing newline."""
    return Part(Author.USER, f"\n{TAGS.response_open}{text}{TAGS.response_close}")


def answer(gold: str) -> str:
    """The end of a model turn, from the close of its reasoning."""
    return f"{TAGS.think_close}\nThe answer is \\boxed{{{gold}}}.{END}"


def encode(tokenizer: Tokenizer, parts: Sequence[Part]) -> Encoded:
    ids: list[int] = []
    by_model: list[bool] = []
    for part in parts:
        part_ids = _ids(tokenizer, part)
        ids.extend(part_ids)
        by_model.extend([part.author is Author.MODEL] * len(part_ids))
    return Encoded(ids, by_model)


def _ids(tokenizer: Tokenizer, part: Part) -> list[int]:
    if part.ids is not None:
        return list(part.ids)
    ids: list[int] = tokenizer.encode(part.text, add_special_tokens=False).ids
    return ids
