"""Tasks that open with a vague message: CollabLLM's three chats, and IN3's agent tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from evals.data.shapes import BOXED, Draft, Records, draw, row_id
from evals.grading import last_boxed
from evals.simulators.spans import sentence_facts
from evals.simulators.told import told_fact

TEST_SHARE = 5
"""Every fifth problem is for testing."""


def math_chat(records: Records) -> Iterator[Draft]:
    """Competition problems after a vague first message; those whose solution has no boxed answer are left out."""
    for key, first, record in _problems(records):
        gold = last_boxed(record["single_turn_completion"])
        if gold is not None:
            yield _chat(f"math_chat/{key}", first, record, gold=gold, instruction=BOXED)


def bigcodebench_chat(records: Records) -> Iterator[Draft]:
    """Programs to be written; graded by the tests of BigCodeBench."""
    for key, first, record in _problems(records):
        given = record["single_turn_metadata"]
        about: Mapping[str, Any] = json.loads(given) if isinstance(given, str) else given
        yield _chat(
            f"bigcodebench_chat/{key}",
            first,
            record,
            gold=record["single_turn_completion"],
            instruction=str(about.get("extraction_requirement") or ""),
            grader="code",
            extra={"tests": about["test"], "entry_point": about["entry_point"], "task_id": about.get("task_id", "")},
        )


def docedit_chat(records: Records) -> Iterator[Draft]:
    """Articles to be written for a user who has one in mind. The user knows the article, which is the reference too."""
    for key, first, record in _problems(records):
        yield _chat(f"docedit_chat/{key}", first, record, gold=record["single_turn_completion"], grader="text")


def _problems(records: Records) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(digest, first message, record) of each problem once. The files have a record per conversation, turn and candidate
    reply: about ten of each problem, and a cut by position would put one conversation on both sides."""
    seen: set[str] = set()
    for record in records:
        full = record["single_turn_prompt"]
        if full in seen:
            continue
        seen.add(full)
        prompt = json.loads(record["prompt"]) if isinstance(record["prompt"], str) else record["prompt"]
        first = next(message["content"] for message in prompt if message["role"] == "user")
        yield f"{draw(full, 16**10):010x}", first, record


def _chat(row: str, first: str, record: Mapping[str, Any], **fields: Any) -> Draft:
    full = record["single_turn_prompt"]
    split = "train" if draw(full, TEST_SHARE) else "test"
    return Draft(row, full, facts=sentence_facts(full, first), shown=first, split=split, **fields)


def in3(records: Records) -> Iterator[Draft]:
    """Agent tasks, most of them vague. The user has drawn one of each missing detail's options, by the record alone."""
    for number, record in enumerate(records):
        row = row_id(record, "in3", number)
        details = []
        for place, detail in enumerate(record["missing_details"]):
            about = detail["description"]
            options = [option for option in detail["options"] if option.strip()]
            choice = options[draw(f"{row}/{about}", len(options))] if options else "no preference"
            details.append(
                told_fact(
                    place,
                    f"{about}: {choice}",
                    about=f"{about} {' '.join(options)}",
                    kind="detail",
                    ask=detail["inquiry"],
                    importance=int(detail["importance"]),
                )
            )
        full = "\n".join([record["task"], *(f"- {fact.text}" for fact in details)])
        yield Draft(row, full, "", tuple(details), record["task"], grader="coverage", group=record.get("category", ""))
