"""Rows, transcripts and grades written by hand: what scripted policies leave, without playing them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.grading import Grade
from evals.metrics import Scored
from evals.problems.model import Fact
from evals.rows import CONDITIONS, Condition, Row, Transcript, Turn
from evals.runs import RunWriter

WRONG = "999999"


def fact(number: int, *, hidden: bool) -> Fact:
    return Fact(
        id=f"f{number}",
        kind="price",
        text=f"One pen costs {number} dollars.",
        phrase="the price of one pen",
        value=number,
        unit="dollars",
        visibility="dropped" if hidden else "shown",
        needed=True,
        slots={},
    )


def row(pair: int, *, complete: bool = False, task: str = "hand", group: str = "pens", num_facts: int = 1) -> Row:
    facts = tuple(fact(k + 1, hidden=not complete) for k in range(num_facts))
    name = f"p{pair}-{'complete' if complete else 'incomplete'}"
    full = f"Problem {pair}. {facts[0].text}"
    return Row(
        row_id=name,
        pair_id=f"p{pair}",
        task=task,
        shown=full if complete else f"Problem {pair}.",
        full=full,
        facts=facts,
        gold=str(pair),
        group=group,
    )


def turn(*disclosed: str, ask: str = "How much is a pen?", response: str = "1 dollar.") -> Turn:
    return Turn(
        ask=ask,
        response=response,
        kind="answer" if disclosed else "unclear",
        disclosed=disclosed,
        model_tokens=10,
        model_s=0.1,
        simulator_s=0.5,
        simulator_tokens=7,
    )


def played(of: Row, condition: Condition = "interactive", *turns: Turn, right: bool = True, repeat: int = 0) -> Scored:
    transcript = Transcript(
        key=f"{of.task}/{of.row_id}/{condition}/{repeat}",
        row_id=of.row_id,
        pair_id=of.pair_id,
        task=of.task,
        condition=condition,
        repeat=repeat,
        turns=turns,
        final=f"\\boxed{{{of.gold if right else WRONG}}}",
        reasoning="Some reasoning.",
        stop="answer",
        model_tokens=100,
        seconds=1.0,
    )
    verdict = Grade("correct", 1.0, "math/2", of.gold) if right else Grade("wrong", 0.0, "math/2", WRONG)
    return Scored(of, transcript, verdict)


def failed(scored: Scored) -> Scored:
    return replace(scored, transcript=replace(scored.transcript, stop="error", error="HTTP 500"))


def unjudged(scored: Scored) -> Scored:
    return replace(scored, grade=Grade("unjudged", None, "judge/1"))


def policy(name: str, num_pairs: int = 40) -> Iterable[Scored]:
    """What a policy leaves that asks for just what is missing (`oracle`), for nothing (`never`) or always (`always`).

    Three in ten problems are solved by guessing, nine in ten when all is known.
    """
    for pair in range(num_pairs):
        guessed, known = pair % 10 < 3, pair % 10 < 9
        for complete in (False, True):
            of = row(pair, complete=complete, group="pens" if pair % 2 else "trips")
            asks = name == "always" or (name == "oracle" and not complete)
            turns = (turn(*(f.id for f in of.hidden)),) if asks else ()
            for condition in CONDITIONS:
                informed = complete or condition == "full" or (condition == "interactive" and asks)
                yield played(
                    of, condition, *(turns if condition == "interactive" else ()), right=known if informed else guessed
                )


IDENTITY = {
    "play_version": 1,
    "model": "hand",
    "server": "pir",
    "sampling": {"seed": 1},
    "prompts": {},
    "max_turns": 8,
    "user": {"name": "rule", "persona": ""},
}


def write_run(folder: Path, run: Iterable[Scored], *, version: str = "1.0", **identity: Any) -> Path:
    """A run's folder as `pir eval run` leaves it."""
    scored = list(run)
    rows = list({(one.row.task, one.row.row_id): one.row for one in scored}.values())
    tasks = {row.task: {"version": version} for row in rows}
    with RunWriter(folder, IDENTITY | identity, {"tasks": tasks}, rows) as writer:
        for one in scored:
            writer.add(one.transcript)
    return folder
