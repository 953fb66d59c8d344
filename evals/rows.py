"""What evaluation runs on and what it leaves: rows (one problem, with what the user knows) and transcripts (one played row).

Both are plain data with a JSON form that keeps its meaning between versions; grading, statistics, reports and the viewer
read nothing else. A row's gold is seen by graders only, its facts by the user simulator only, and `shown` by the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evals.problems import Problem
from evals.problems.model import Fact

GraderName = Literal["math", "choice", "code", "text", "coverage", "judge"]
Condition = Literal["interactive", "no_ask", "full"]
"""`interactive`: the shown text, and a user who answers. `no_ask`: the shown text, asking off (the floor). `full`: the
complete text, asking off (the ceiling)."""
CONDITIONS: tuple[Condition, ...] = ("interactive", "no_ask", "full")

STOCK = "stock lm-eval task"
"""Source of the rows of lm-eval's own tasks, which it grades itself."""

StopReason = Literal["answer", "length", "turns", "error"]
"""How a conversation ended: with an answer; out of tokens; asking beyond the cap of turns; by an error."""
Culprit = Literal["", "model", "server", "simulator", "harness"]
"""Whose error ended a conversation: the model's own markup, or a part that failed and says nothing about the model."""


@dataclass(frozen=True, slots=True)
class Row:
    """One problem as it is played."""

    row_id: str
    """Stable, unique within its task; everything is keyed on it, never on a position."""
    pair_id: str
    """Shared by the complete and the incomplete version of a problem, and by repeats: the cluster of the statistics."""
    task: str
    shown: str
    """What the model reads; equal to `full` in the complete version."""
    full: str
    """The whole problem: the user's intent."""
    facts: tuple[Fact, ...]
    """What the user simulator may tell. Hidden ones are those that `shown` lacks."""
    gold: str
    """The right answer, or the reference text; empty where only coverage is scored."""
    grader: GraderName = "math"
    group: str = ""
    """Family, subject or category; reports break figures down by it."""
    split: str = "test"
    flags: tuple[str, ...] = ()
    """Known faults of the row, e.g. `gold_number_in_shown_text`."""
    source: str = ""
    license: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What a grader needs beside the gold: unit tests, options, the entry point."""

    @property
    def hidden(self) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if fact.hidden)

    @property
    def is_complete(self) -> bool:
        return not self.hidden

    @classmethod
    def of(cls, problem: Problem, task: str) -> Row:
        return cls(
            row_id=problem.row_id,
            pair_id=problem.pair_id,
            task=task,
            shown=problem.shown,
            full=problem.full,
            facts=problem.facts,
            gold=problem.gold,
            group=problem.family,
            split=problem.split,
            source="generated",
            license="Apache-2.0",
        )

    def to_json(self) -> dict[str, Any]:
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return data | {
            "facts": [fact.to_json() for fact in self.facts],
            "flags": list(self.flags),
            "extra": dict(self.extra),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Row:
        facts = tuple(Fact.from_json(fact) for fact in data["facts"])
        return cls(**{**data, "facts": facts, "flags": tuple(data["flags"])})


@dataclass(frozen=True, slots=True)
class Turn:
    """One ask that reached the user, and what came back."""

    ask: str
    response: str
    kind: str
    """The simulator's own word for it: `answer`, `dont_know`, `off_topic`, `unclear`."""
    disclosed: tuple[str, ...]
    """Ids of the facts that the response gave."""
    model_tokens: int
    """Written by the model in the leg that ended in this ask."""
    model_s: float
    simulator_s: float
    simulator_tokens: int = 0
    """Of an LLM simulator, in and out; never counted as the model's."""
    simulator_prompt_tokens: int = 0
    """Those of them that went in."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """One row played once under one condition."""

    key: str
    """Hash of everything that could change the outcome: model, sampling, row, condition, simulator, versions, repeat."""
    row_id: str
    pair_id: str
    task: str
    condition: Condition
    repeat: int
    turns: tuple[Turn, ...]
    final: str
    """The last reply's visible text; empty when there was none."""
    reasoning: str
    """All visible reasoning, asks and responses in place; empty when the server does not show it."""
    stop: StopReason
    error: str = ""
    """What failed, in words, when `stop` is `error`; such a transcript counts as wrong."""
    culprit: Culprit = ""
    """Who is to blame for `error`."""
    was_unreachable: bool = False
    """The error is that nobody answered at the address of the server or of the simulator."""
    format_errors: tuple[str, ...] = ()
    """Malformed output that did not end the conversation, e.g. `ask_after_think`."""
    steps: tuple[Mapping[str, Any], ...] = ()
    """Reasoning steps with their predictive entropy, as `pir.uncertainty` returns them."""
    model_tokens: int = 0
    """Completion tokens of all the model's legs."""
    prompt_tokens: int = 0
    judge_tokens: int = 0
    lost_simulator_tokens: int = 0
    """Of an LLM simulator, on an ask that it gave no response to."""
    lost_simulator_prompt_tokens: int = 0
    seconds: float = 0.0
    retries: int = 0
    """Requests that had to be sent again."""
    auto_answers: int = 0
    """Asks that the server answered in the user's place: policy, cap or screen."""

    @property
    def num_asks(self) -> int:
        return len(self.turns)

    @property
    def simulator_tokens(self) -> int:
        return self.lost_simulator_tokens + sum(turn.simulator_tokens for turn in self.turns)

    @property
    def simulator_prompt_tokens(self) -> int:
        return self.lost_simulator_prompt_tokens + sum(turn.simulator_prompt_tokens for turn in self.turns)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Transcript:
        turns = tuple(Turn(**{**turn, "disclosed": tuple(turn["disclosed"])}) for turn in data["turns"])
        lists = {name: tuple(data[name]) for name in ("format_errors", "steps")}
        return cls(**{**data, "turns": turns, **lists})
