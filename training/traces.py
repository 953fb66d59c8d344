"""Traces with the predictive entropy of their steps: what `pir train entropy` writes and `pir train augment` reads.

    {"id": ..., "messages": [...], "trace": "...", "answer": "...", "row": {what was read},
     "steps": [{"text", "start", "end", "entropy", "num_tokens", "rank"}, ...], "scored_by": {...}}

`start` and `end` are characters of `trace`; `rank` is 1 for the step that the model was least sure of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pir_serve.errors import ConfigError
from pir_serve.markup import TAGS
from pir_serve.uncertainty import Step
from training.stage import read_lines

QUESTION_KEYS = ("question", "problem", "prompt", "instruction", "shown", "input", "query")
TRACE_KEYS = ("trace", "reasoning", "reasoning_content", "output", "response", "completion", "generation")
_ROLES = {"human": "user", "gpt": "assistant"}


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation up to where the model is to reason, and its reasoning where there is one already."""

    id: str
    messages: tuple[Mapping[str, str], ...]
    trace: str | None
    answer: str
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoredTrace:
    item: Item
    trace: str
    answer: str
    steps: tuple[Step, ...]
    scored_by: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        order = sorted(range(len(self.steps)), key=lambda k: -self.steps[k].entropy)
        ranks = {k: rank for rank, k in enumerate(order, 1)}
        steps = [
            {"text": s.text, "start": s.start, "end": s.end, "entropy": round(s.entropy, 5)}
            | {"num_tokens": s.num_tokens, "rank": ranks[k]}
            for k, s in enumerate(self.steps)
        ]
        return {
            "id": self.item.id,
            "messages": [dict(m) for m in self.item.messages],
            "trace": self.trace,
            "answer": self.answer,
            "steps": steps,
            "scored_by": dict(self.scored_by),
            "row": dict(self.item.row),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ScoredTrace:
        steps = tuple(Step(s["text"], s["start"], s["end"], s["entropy"], s["num_tokens"]) for s in data["steps"])
        item = Item(data["id"], tuple(data["messages"]), data["trace"], data["answer"], data.get("row", {}))
        if any(data["trace"][s.start : s.end] != s.text for s in steps):
            raise ValueError("steps do not lie in the trace where they say")
        return cls(item, data["trace"], data["answer"], steps, data.get("scored_by", {}))


def read_items(path: Path, question_key: str = "", trace_key: str = "") -> Iterator[Item]:
    """Rows of any JSON-lines file with a question and, where there is one, a reasoning.

    Raises:
        ConfigError: no such file, or a line without a question; the message names the line.
    """
    seen: set[str] = set()
    for number, row in read_lines(path):
        try:
            item = _item(row, f"{path.stem}-{number}", question_key, trace_key)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}:{number}: {error}") from error
        if item.id in seen:
            raise ConfigError(f"{path}:{number}: a second row with the id {item.id!r}")
        seen.add(item.id)
        yield item


def read_scored(path: Path) -> list[ScoredTrace]:
    """Raises: ConfigError, naming the line that `pir train entropy` did not write."""
    traces = []
    for number, data in read_lines(path):
        try:
            traces.append(ScoredTrace.from_json(data))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path}:{number}: not a scored trace ({error!r}); `pir train entropy` makes them"
            ) from error
    return traces


def _item(row: Mapping[str, Any], name: str, question_key: str, trace_key: str) -> Item:
    identity = str(row.get("id") or row.get("row_id") or name)
    given = row.get("messages") or row.get("conversations")
    if given and not question_key:
        messages = [_message(m) for m in given]
        last = messages.pop() if messages[-1]["role"] == "assistant" else None
        if row.get("system") and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": str(row["system"])})
        whole = last["content"] if last else None
    else:
        question = _first(row, (question_key,) if question_key else QUESTION_KEYS)
        if question is None:
            raise ValueError(f"no question; looked for {question_key or ', '.join(QUESTION_KEYS)}")
        messages = [{"role": "user", "content": question}]
        whole = _first(row, (trace_key,) if trace_key else TRACE_KEYS)
    if not messages or messages[-1]["role"] != "user":
        raise ValueError("the conversation does not come to a user's message")
    thought, closed, after = (whole or "").strip().removeprefix(TAGS.think_open).partition(TAGS.think_close)
    answer = after.strip() if closed else str(row.get("answer") or "")
    return Item(identity, tuple(messages), thought.strip() if whole else None, answer, row)


def _message(given: Mapping[str, Any]) -> dict[str, str]:
    role = str(given.get("role") or given["from"])
    content = given.get("content", given.get("value"))
    thought = given.get("reasoning") or given.get("reasoning_content")
    if thought:
        content = f"{thought}{TAGS.think_close}{content}"
    if not isinstance(content, str):
        raise TypeError(f"content {content!r:.40} is no text")
    return {"role": _ROLES.get(role, role), "content": content}


def _first(row: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    found = (row[key] for key in keys if isinstance(row.get(key), str) and row[key].strip())
    return next(found, None)


def most_uncertain(steps: Sequence[Step], share: float, at_most: int) -> list[int]:
    """Places of the `share` of steps with the highest entropy, at least one and at most `at_most`, in their order."""
    number = min(at_most, max(1, round(share * len(steps)))) if steps else 0
    order = sorted(range(len(steps)), key=lambda k: -steps[k].entropy)
    return sorted(order[:number])
