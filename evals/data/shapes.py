"""How records become rows: both versions of a problem, their flags, and what the model is told about its answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from evals.data.registry import DataSet
from evals.problems.model import Fact
from evals.rows import GraderName, Row
from evals.simulators.disclosure import numbers

BOXED = "Reason step by step, and put your final answer in \\boxed{}."
CHOICE = "Reason step by step, and put the letter of your choice in \\boxed{}."
SHORT = "Put your final answer, as short as possible, in \\boxed{}."

Records = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Draft:
    """A problem of a data set, before it is made into rows."""

    row_id: str
    full: str
    gold: str
    facts: tuple[Fact, ...] = ()
    shown: str = ""
    """Of the incomplete version; unused if no fact is hidden."""
    grader: GraderName = "math"
    group: str = ""
    split: str = "test"
    instruction: str = ""
    """How the answer is to be given; put after the text of either version."""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_degraded(self) -> bool:
        return any(fact.hidden for fact in self.facts)


def versions(draft: Draft, task: str, dataset: DataSet) -> Iterator[Row]:
    """The complete version, then the incomplete one if something is hidden; both have the problem's `pair_id`."""
    known = tuple(replace(fact, visibility="shown") for fact in draft.facts)
    full = _instructed(draft.full, draft.instruction)
    row = Row(
        row_id=f"{draft.row_id}/complete",
        pair_id=draft.row_id,
        task=task,
        shown=full,
        full=full,
        facts=known,
        gold=draft.gold,
        grader=draft.grader,
        group=draft.group,
        split=draft.split,
        source=dataset.source,
        license=dataset.license,
        extra=draft.extra,
    )
    if not draft.is_degraded:
        yield replace(row, row_id=draft.row_id)
        return
    yield row
    yield replace(
        row,
        row_id=draft.row_id,
        shown=_instructed(draft.shown, draft.instruction),
        facts=draft.facts,
        flags=tuple(_flags(draft)),
    )


def _flags(draft: Draft) -> Iterator[str]:
    if draft.grader != "math":
        return
    gold = numbers(draft.gold)
    if gold and gold <= numbers(draft.shown):
        yield "gold_number_in_shown_text"
    if gold and gold <= {number for fact in draft.facts if fact.hidden for number in numbers(fact.text)}:
        yield "gold_number_in_fact"


def _instructed(text: str, instruction: str) -> str:
    return f"{text}\n\n{instruction}" if instruction else text


def draw(key: str, count: int) -> int:
    """A number below `count` that depends on the key alone, on every machine."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) % count


def row_id(record: Mapping[str, Any], name: str, number: int) -> str:
    """A record's own id, or its place in the file."""
    return str(record.get("row_id") or f"{name}/{number:04d}")
