"""Problems for US-GRPO from what people did: `pir sessions export`, or any JSON lines of conversations.

What the user said in reply becomes what the simulated user knows: one fact an exchange, found by the question that drew it
out. The prompt is the one that was given: its very tokens, where tokenizer and template are the same. What the right answer
is nobody can read off a conversation: a row has a `gold` (its own, or by its id or session in a file of golds), or a judge
compares with the answer that the conversation came to; a row with neither is left out, and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evals.problems.model import Fact
from evals.rows import GraderName, Row
from evals.simulators.told import told_fact
from pir_serve.errors import ConfigError
from pir_serve.prompt import PromptCodec
from pir_serve.trajectory import Author, Segment
from training.rows import (
    Unusable,
    asked_in_turns,
    encode_prompt,
    exchanges_in,
    has_tokens_of,
    messages_of,
    thought_of,
)
from training.stage import read_lines

TASK = "sessions"


def read_golds(path: Path) -> dict[str, str]:
    """Id or session -> right answer, from lines like `{"id": "pir_...", "gold": "24"}`. Raises: ConfigError."""
    golds = {}
    for number, line in read_lines(path):
        name, gold = line.get("id") or line.get("session"), line.get("gold")
        if not isinstance(name, str) or not _is_gold(gold):
            raise ConfigError(f"{path}:{number}: an `id` or `session` and its `gold` are needed, not {line!r:.80}")
        golds[name] = str(gold)
    return golds


@dataclass
class ProblemReader:
    """Reads rows of problems (`evals/rows.py`), exported sessions and conversations."""

    codec: PromptCodec | None = None
    """Of the model that is to be trained; None keeps no prompt's very tokens."""
    golds: Mapping[str, str] = field(default_factory=dict)
    is_judged: bool = False
    """Whether there is a judge for rows without a gold."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows by why they cannot be used."""

    def read(self, path: Path) -> list[Row]:
        """Raises: ConfigError: no such file, a line that is nothing of the kind, or no usable row at all."""
        rows = []
        for number, line in read_lines(path):
            try:
                rows.append(self.row(line, f"line {number}"))
            except Unusable as reason:
                self.left_out[str(reason)] += 1
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ConfigError(f"{path}:{number}: not a row: {error!r}") from error
        if not rows:
            raise ConfigError(f"{path}: no usable row; left out: {self.told()}")
        return rows

    def told(self) -> str:
        return ", ".join(f"{n} ({why})" for why, n in self.left_out.items()) or "none"

    def row(self, line: Mapping[str, Any], name: str) -> Row:
        """One line. Raises: Unusable, and what a wrong shape brings about."""
        if "shown" in line:
            return Row.from_json(line)
        name = str(line.get("id") or name)
        prompt, texts, exchanges, answer = self._exported(line) if "parts" in line else _conversation(line)
        gold, grader, extra = self._gold(line, name, answer)
        shown = "\n\n".join(texts)
        facts = tuple(_fact(k, question, reply) for k, (question, reply) in enumerate(exchanges, 1))
        return Row(
            row_id=name,
            pair_id=str(line.get("session") or name),
            task=TASK,
            shown=shown,
            full="\n".join([shown, *(f"{question} {reply}".strip() for question, reply in exchanges)]),
            facts=facts,
            gold=gold,
            grader=grader,
            split="train",
            source=TASK,
            extra={**extra, **prompt},
        )

    def _exported(self, line: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[tuple[str, str]], str]:
        status = line.get("status", "completed")
        if status != "completed":
            raise Unusable(f"status {status}")
        if line.get("malformed"):
            raise Unusable("malformed tags")
        texts = [str(text) for text in line.get("user_texts") or ()]
        prompt: dict[str, Any]
        if has_tokens_of(line, self.codec):
            first = line["parts"][0]
            prompt = {"prompt": {"text": str(first["text"]), "token_ids": [int(i) for i in first["token_ids"]]}}
        elif len(texts) == 1:
            prompt = {"messages": [{"role": "user", "content": texts[0]}]}
        else:
            raise Unusable("a longer conversation with another tokenizer or template")
        said = [(e["question"], e["response"]) for e in line.get("exchanges") or () if e["by"] == "user"]
        said += [("", v["text"]) for v in line.get("volunteered") or ()]
        return prompt, texts, said, str(line.get("answer") or "")

    def _gold(self, line: Mapping[str, Any], name: str, answer: str) -> tuple[str, GraderName, dict[str, Any]]:
        gold = line.get("gold")
        if gold is None:
            gold = self.golds.get(name, self.golds.get(str(line.get("session"))))
        if gold is not None and not _is_gold(gold):
            raise ValueError(f"gold {gold!r:.40} is no answer")
        if gold is not None:
            return str(gold), line.get("grader", "math"), dict(line.get("extra") or {})
        if not self.is_judged:
            raise Unusable("no gold, and no judge")
        if not answer.strip():
            raise Unusable("no gold, and no answer for a judge to compare with")
        return answer.strip(), "judge", {}


def _conversation(line: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[tuple[str, str]], str]:
    messages = messages_of(line)
    if not messages or messages[-1]["role"] != "assistant":
        raise Unusable("does not end with the assistant's turn")
    asked, before = asked_in_turns(messages[:-1])
    reasoning, answer = thought_of(messages[-1])
    if not before or before[-1]["role"] != "user":
        raise Unusable("no problem before the assistant's turn")
    exchanges = [(question.strip(), reply.strip()) for _, question, reply in [*asked, *exchanges_in(reasoning)[0]]]
    given = [{"role": m["role"], "content": m["content"]} for m in before]
    texts = [m["content"] for m in before if m["role"] == "user"]
    return {"messages": given}, texts, exchanges, answer


def _fact(number: int, question: str, reply: str) -> Fact:
    return told_fact(number, reply, about=question or reply, kind="detail", ask=question)


def _is_gold(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and bool(str(value).strip())


def prompt_of(row: Row, codec: PromptCodec) -> tuple[Segment, ...]:
    """A row's prompt: as it was given where that is known, else its shown text as the user's message."""
    given = row.extra.get("prompt")
    if given is not None:
        return (Segment(Author.TEMPLATE, given["text"], tuple(given["token_ids"])),)
    messages: Sequence[Mapping[str, str]] = row.extra.get("messages") or [{"role": "user", "content": row.shown}]
    return encode_prompt(codec, messages)
