"""One HTML page to read conversations in, of a run or of two side by side. It loads nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.metrics import Scored
from evals.rows import Row

_HERE = Path(__file__).parent
DIFFERS = "runs differ"
TAGS = (
    "asked", "not asked", "right", "wrong", "over-ask", "under-ask", "error", "cut off", "unparsed", "unjudged", "format error",
)  # fmt: skip
"""What conversations are filtered by; several chosen must all apply."""


def page(runs: Mapping[str, Sequence[Scored]], warnings: Sequence[str] = ()) -> str:
    """The page of one run or of two, by name."""
    script = (_HERE / "viewer.js").read_text(encoding="utf-8")
    sha = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # With no "<" in it, no text can end the element it stands in.
    data = json.dumps(_data(runs, warnings), allow_nan=False).replace("<", "\\u003c")
    template = (_HERE / "viewer.html").read_text(encoding="utf-8")
    before, after = template.replace("@SCRIPT_SHA@", sha).replace("@SCRIPT@", script).split("@DATA@")
    return before + data + after


def tags(one: Scored) -> list[str]:
    """Those of `TAGS` that apply to a conversation."""
    transcript, verdict = one.transcript, one.grade.verdict
    found = {
        "asked": transcript.num_asks > 0,
        "not asked": transcript.num_asks == 0,
        "right": one.grade.is_correct and transcript.stop != "error",
        "wrong": one.score is not None and not (one.grade.is_correct and transcript.stop != "error"),
        "over-ask": one.over_asked,
        "under-ask": one.under_asked,
        "error": transcript.stop == "error",
        "cut off": transcript.stop == "length",
        "unparsed": verdict == "unparsed",
        "unjudged": verdict == "unjudged",
        "format error": bool(transcript.format_errors),
    }
    return [tag for tag in TAGS if found[tag]]


def differ(plays: Sequence[Scored | None]) -> bool:
    """Whether runs went different ways with a row (None: it did not play it): in the verdict, or in asking."""
    outcomes = {None if play is None else (play.grade.verdict, play.transcript.num_asks > 0) for play in plays}
    return len(outcomes) > 1


def _data(runs: Mapping[str, Sequence[Scored]], warnings: Sequence[str]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    places: dict[tuple[str, str, str], int] = {}
    items: dict[tuple[int, str, int], list[Scored | None]] = {}
    for number, run in enumerate(runs.values()):
        for one in run:
            # Runs that were not on the same text of a row are shown apart.
            row = (one.row.task, one.row.row_id, one.row.shown)
            if row not in places:
                places[row] = len(rows)
                rows.append(_row(one.row))
            key = (places[row], one.condition, one.transcript.repeat)
            items.setdefault(key, [None] * len(runs))[number] = one
    return {
        "runs": list(runs),
        "warnings": list(warnings),
        "tags": [*TAGS, *([DIFFERS] if len(runs) > 1 else [])],
        "rows": rows,
        "items": [_item(*key, rows[key[0]], plays) for key, plays in items.items()],
    }


def _row(row: Row) -> dict[str, Any]:
    hidden = [{"id": fact.id, "text": fact.text} for fact in row.hidden]
    names = ("row_id", "task", "group", "shown", "full", "gold")
    return {name: getattr(row, name) for name in names} | {"hidden": hidden}


def _item(
    row: int, condition: str, repeat: int, of: Mapping[str, Any], plays: Sequence[Scored | None]
) -> dict[str, Any]:
    return {
        "id": f"{of['task']}/{of['row_id']}/{condition}/{repeat}",
        "row": row,
        "condition": condition,
        "repeat": repeat,
        "tags": [DIFFERS] if differ(plays) else [],
        "plays": [None if play is None else _play(play) for play in plays],
    }


def _play(one: Scored) -> dict[str, Any]:
    transcript, grade = one.transcript, one.grade
    return {
        "tags": tags(one),
        "verdict": grade.verdict,
        "score": one.score,
        "answer": grade.answer,
        "grader": grade.grader,
        "stop": transcript.stop,
        "error": "; ".join(filter(None, (transcript.error, *transcript.format_errors))),
        "turns": [
            {"ask": t.ask, "response": t.response, "kind": t.kind, "disclosed": list(t.disclosed)}
            for t in transcript.turns
        ],
        "final": transcript.final,
        "reasoning": transcript.reasoning,
        "entropies": [round(float(step["entropy"]), 4) for step in transcript.steps],
        "tokens": transcript.model_tokens,
        "seconds": transcript.seconds,
    }
