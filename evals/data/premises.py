"""Problems with a premise removed: MiP-GSM8K, MiP-MATH, QuestBench, AskMind; and GSM8K, where nothing is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from evals.data.shapes import BOXED, Draft, Records, row_id
from evals.problems.model import Fact
from evals.simulators.spans import facts_of, sentence_facts
from evals.simulators.told import sentence, told_fact

_FINAL = re.compile(r"####\s*(.+?)\s*$")
_SPLIT_PRICE = re.compile(r"\$\.\s+(?=\d)")
_VARIABLE = re.compile(r"(?P<name>\w+) = (?P<value>.+?) \[(?P<meaning>.*)\]")
_FORMAT_REQUEST = re.compile(r"\s*Format your response as follows:.*$", re.DOTALL)


def _gold(answer: str) -> str:
    """The answer after "####" of a GSM8K solution.

    Raises:
        ValueError: there is none.
    """
    found = _FINAL.search(answer)
    if found is None:
        raise ValueError(f"no #### line ends the solution {answer[-40:]!r}")
    return found[1].replace(",", "")


def mip_gsm8k(records: Records) -> Iterator[Draft]:
    """One premise removed from a grade-school problem; records where nothing was removed are left out."""
    for number, record in enumerate(records):
        shown = _SPLIT_PRICE.sub("$.", record["insufficient_question"])
        facts = facts_of(record["question"], shown)
        draft = Draft(
            row_id(record, "mip_gsm8k", number),
            record["question"],
            _gold(record["answer"]),
            facts,
            shown,
            instruction=BOXED,
        )
        if draft.is_degraded:
            yield draft


def mip_math(records: Records) -> Iterator[Draft]:
    """The same of competition problems. What a model replied stands beside them in the file and is not read."""
    for number, record in enumerate(records):
        full, shown = record["question"], record["insufficient_question"]
        draft = Draft(
            row_id(record, "mip_math", number),
            full,
            record["answer"],
            facts_of(full, shown),
            shown,
            group=record.get("subject", ""),
            instruction=BOXED,
        )
        if draft.is_degraded:
            yield draft


def questbench_gsmq(records: Records) -> Iterator[Draft]:
    """A problem that lacks the value of exactly one variable. Where that value is the answer, a reply would be a leak:
    such records are left out."""
    for number, record in enumerate(records):
        variable = _VARIABLE.fullmatch(record["degraded_info"])
        if variable is None:
            raise ValueError(f"degraded_info is {record['degraded_info']!r}, not like 'N = 40 [Number of customers]'")
        gold = str(record["expected_answer"])
        if variable["value"] == gold:
            continue
        shown, meaning = record["ori_question"], variable["meaning"]
        missing = told_fact(
            0,
            f"{meaning}: {variable['value']}",
            about=meaning,
            kind="variable",
            ask=f"What is this: {meaning[:1].lower()}{meaning[1:]}?",
        )
        said = sentence_facts(shown, shown)
        facts = (missing, *(replace(fact, id=f"f{place}") for place, fact in enumerate(said, start=1)))
        full = f"{sentence(missing.text)}\n\n{shown}"
        yield Draft(row_id(record, "questbench_gsmq", number), full, gold, facts, shown, instruction=BOXED)


def askmind(records: Records) -> Iterator[Draft]:
    """Information of a problem made vague, often in several places; records that are not degraded are left out."""
    for number, record in enumerate(records):
        full, shown = (_FORMAT_REQUEST.sub("", record[key]) for key in ("ori_question", "degraded_question"))
        facts = _with_points(facts_of(full, shown), list(record.get("required_points") or ()))
        draft = Draft(
            row_id(record, "askmind", number),
            full,
            str(record["expected_answer"]),
            facts,
            shown,
            group=record.get("category", ""),
            instruction=BOXED,
        )
        if draft.is_degraded:
            yield draft


def _with_points(facts: tuple[Fact, ...], points: list[str]) -> tuple[Fact, ...]:
    """Lets each fact be found by the words of what has to be asked: its own point where their numbers agree, else by all."""
    hidden = [fact.id for fact in facts if fact.hidden]
    own = dict(zip(hidden, points, strict=True)) if len(hidden) == len(points) else {}
    everything = " ".join(points)
    return tuple(
        replace(fact, phrase=f"{fact.phrase} {own.get(fact.id, everything)}") if fact.hidden else fact for fact in facts
    )


def gsm8k(records: Records) -> Iterator[Draft]:
    """Complete problems; a user who is asked repeats what the text says."""
    for number, record in enumerate(records):
        question = record["question"]
        yield Draft(
            row_id(record, "gsm8k", number),
            question,
            _gold(record["answer"]),
            tuple(replace(fact, visibility="shown") for fact in sentence_facts(question, question)),
            instruction=BOXED,
        )
