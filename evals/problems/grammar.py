"""Slot grammars: a skeleton is a sentence with `{slots}` and `[one|of|these]`.

A list of skeletons keeps every fourth one back: those are used by the held-out-templates split and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from random import Random

RESERVED_EVERY = 4
"""Of four skeletons one is held out: 18 to 25 % of a list of eight or more."""

_TOKEN = re.compile(r"\{([^{}]+)\}|([\[\]|])|([^\[\]{}|]+)")


@dataclass(frozen=True, slots=True)
class Slot:
    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    options: tuple[Sequence_, ...]


Sequence_ = tuple["str | Slot | Choice", ...]


@cache
def compile_skeleton(skeleton: str) -> Sequence_:
    """The skeleton as a tree; brackets may nest."""
    stack: list[list[list[str | Slot | Choice]]] = [[[]]]
    for slot, mark, text in _TOKEN.findall(skeleton):
        if slot:
            stack[-1][-1].append(Slot(slot))
        elif text:
            stack[-1][-1].append(text)
        elif mark == "[":
            stack.append([[]])
        elif len(stack) == 1:
            raise ValueError(f"{mark!r} outside brackets in {skeleton!r}")
        elif mark == "|":
            stack[-1].append([])
        else:
            options = stack.pop()
            stack[-1][-1].append(Choice(tuple(tuple(option) for option in options)))
    if len(stack) != 1:
        raise ValueError(f"unclosed bracket in {skeleton!r}")
    return tuple(stack[0][0])


def _write(tree: Sequence_, slots: Mapping[str, str], rng: Random, out: list[str]) -> None:
    for part in tree:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, Slot):
            out.append(slots[part.name])
        else:
            _write(part.options[int(rng.random() * len(part.options))], slots, rng, out)


def fill(skeleton: str, slots: Mapping[str, str], rng: Random) -> str:
    """One sentence of the skeleton, its first letter a capital."""
    out: list[str] = []
    _write(compile_skeleton(skeleton), slots, rng, out)
    text = "".join(out).strip()
    while "  " in text:  # an empty option leaves two spaces behind
        text = text.replace("  ", " ")
    return capital(text)


def expansions(skeleton: str) -> Iterator[str]:
    """Every surface of a skeleton, slots left as `{slot}`."""

    def walk(tree: Sequence_) -> list[str]:
        texts = [""]
        for part in tree:
            if isinstance(part, Choice):
                tails = [text for option in part.options for text in walk(option)]
            else:
                tails = [part if isinstance(part, str) else "{" + part.name + "}"]
            texts = [text + tail for text in texts for tail in tails]
        return texts

    yield from walk(compile_skeleton(skeleton))


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class Skeletons:
    """A list of skeletons, split into those for everyone and those held out."""

    all: tuple[str, ...]
    train: tuple[str, ...]
    reserved: tuple[str, ...]

    def choose(self, rng: Random, *, held_out: bool) -> str:
        options = self.reserved if held_out else self.train
        return options[int(rng.random() * len(options))]


@cache
def skeletons(block: str) -> Skeletons:
    """A block of text, one skeleton a line; empty lines are skipped."""
    lines = tuple(line.strip() for line in block.splitlines() if line.strip())
    train = tuple(line for i, line in enumerate(lines) if i % RESERVED_EVERY != RESERVED_EVERY - 1)
    reserved = tuple(line for i, line in enumerate(lines) if i % RESERVED_EVERY == RESERVED_EVERY - 1)
    for line in lines:
        compile_skeleton(line)
    return Skeletons(lines, train, reserved)
