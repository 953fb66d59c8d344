"""One row played to its end: the model over HTTP on one side, a user simulator on the other. Leaves a transcript, whatever
happens; a failure is written down with its culprit and never becomes something that the user or the model said."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from evals.endpoint import LegError, Sampling
from evals.legs import Leg, Talk
from evals.rows import Condition, Culprit, Row, StopReason, Transcript, Turn
from evals.simulators import Exchange, Intent, SimulatorError, User
from pir_serve.markup import TAGS

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Play:
    """What is to be played."""

    key: str
    """See `Transcript.key`."""
    row: Row
    condition: Condition
    repeat: int
    sampling: Sampling

    @property
    def text(self) -> str:
        """What the model is given first."""
        return self.row.full if self.condition == "full" else self.row.shown


@dataclass(slots=True)
class _Record:
    """A transcript in the making."""

    turns: list[Turn] = field(default_factory=list)
    history: list[Exchange] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    format_errors: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    final: str = ""
    stop: StopReason = "error"
    error: str = ""
    culprit: Culprit = ""
    was_unreachable: bool = False
    lost_simulator_tokens: int = 0
    lost_simulator_prompt_tokens: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    retries: int = 0
    auto_answers: int = 0
    legs: int = 0

    def add(self, leg: Leg) -> None:
        self.tokens += leg.tokens
        self.prompt_tokens += leg.prompt_tokens
        self.retries += leg.retries
        self.auto_answers += leg.auto_answers
        self.reasoning.append(leg.reasoning)
        self.format_errors += leg.format_errors
        # The server counts legs from 0 in each request.
        self.steps += [{**step, "leg": self.legs + int(step.get("leg") or 0)} for step in leg.steps]
        self.legs = 1 + max((step["leg"] for step in self.steps), default=self.legs)

    def fail(self, culprit: Culprit, error: str) -> None:
        self.stop, self.culprit, self.error = "error", culprit, error


async def play(task: Play, talk: Talk, user: User, *, max_turns: int) -> Transcript:
    """The transcript of one conversation; it never raises but when cancelled."""
    record, began = _Record(), time.perf_counter()
    try:
        await _converse(task, talk, user, max_turns, record)
    except LegError as error:
        record.fail("server", str(error))
        record.was_unreachable = error.is_unreachable
    except SimulatorError as error:
        record.fail("simulator", f"the user simulator failed: {error}")
        record.was_unreachable = error.is_unreachable
        record.lost_simulator_tokens, record.lost_simulator_prompt_tokens = error.tokens, error.prompt_tokens
    except Exception as error:
        _log.exception("conversation %s of row %s failed", task.key, task.row.row_id)
        record.fail("harness", f"{type(error).__name__}: {error}")
    return Transcript(
        key=task.key,
        row_id=task.row.row_id,
        pair_id=task.row.pair_id,
        task=task.row.task,
        condition=task.condition,
        repeat=task.repeat,
        turns=tuple(record.turns),
        final=record.final,
        reasoning=_whole(record.reasoning, record.turns),
        stop=record.stop,
        error=record.error,
        culprit=record.culprit,
        was_unreachable=record.was_unreachable,
        format_errors=tuple(record.format_errors),
        steps=tuple(record.steps),
        model_tokens=record.tokens,
        prompt_tokens=record.prompt_tokens,
        lost_simulator_tokens=record.lost_simulator_tokens,
        lost_simulator_prompt_tokens=record.lost_simulator_prompt_tokens,
        seconds=round(time.perf_counter() - began, 4),
        retries=record.retries,
        auto_answers=record.auto_answers,
    )


async def _converse(task: Play, talk: Talk, user: User, max_turns: int, record: _Record) -> None:
    intent = Intent.of(task.row)
    text = task.text
    while True:
        began = time.perf_counter()
        leg = await talk.say(text)
        model_s = time.perf_counter() - began
        record.add(leg)
        if leg.ask is None:
            _end(leg, record)
            return
        if len(record.turns) >= max_turns:
            record.stop = "turns"
            return
        began = time.perf_counter()
        response = await user.respond(leg.ask, intent=intent, history=tuple(record.history))
        record.history.append(Exchange(leg.ask, response))
        record.turns.append(
            Turn(
                ask=leg.ask,
                response=response.text,
                kind=response.kind,
                disclosed=response.disclosed,
                model_tokens=leg.tokens,
                model_s=round(model_s, 4),
                simulator_s=round(time.perf_counter() - began, 4),
                simulator_tokens=response.tokens,
                simulator_prompt_tokens=response.prompt_tokens,
            )
        )
        text = response.text


def _end(leg: Leg, record: _Record) -> None:
    if leg.fault:
        record.fail("model", leg.fault)
    else:
        record.stop = "turns" if leg.ended_by_cap else "length" if leg.is_cut else "answer"
        record.final = leg.final


def _whole(reasoning: list[str], turns: list[Turn]) -> str:
    """The legs' reasoning with asks and responses in place; empty where the server shows none."""
    if not any(reasoning):
        return ""
    parts: list[str] = []
    for number, text in enumerate(reasoning):
        parts.append(text)
        if number < len(turns):
            turn = turns[number]
            parts.append(f"{TAGS.ask_open}{turn.ask}{TAGS.ask_close}")
            parts.append(f"{TAGS.response_open}{turn.response}{TAGS.response_close}")
    return "\n".join(part.strip("\n") for part in parts if part)
