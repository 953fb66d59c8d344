"""Questions of knowledge: MMLU and MMLU-Pro, where nothing is missing, TriviaQA and SQuAD, where the user holds the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_uppercase

from evals.data.shapes import CHOICE, SHORT, Draft, Records, row_id
from evals.simulators.spans import sentence_facts

MAX_SENTENCES = 60
"""Of an article that the user knows."""


def _with_options(question: str, options: Sequence[str]) -> str:
    return "\n".join([question, *(f"{letter}. {text}" for letter, text in zip(ascii_uppercase, options, strict=False))])


def mmlu(records: Records) -> Iterator[Draft]:
    """Four choices; the user knows nothing more than the question."""
    for number, record in enumerate(records):
        options = list(record["choices"])
        yield Draft(
            row_id(record, "mmlu", number),
            _with_options(record["question"], options),
            ascii_uppercase[int(record["answer"])],
            grader="choice",
            group=record.get("subject", ""),
            instruction=CHOICE,
            extra={"options": options},
        )


def mmlu_pro(records: Records) -> Iterator[Draft]:
    """Up to ten choices."""
    for number, record in enumerate(records):
        options = list(record["options"])
        yield Draft(
            row_id(record, "mmlu_pro", record.get("question_id", number)),
            _with_options(record["question"], options),
            record["answer"],
            grader="choice",
            group=record.get("category", ""),
            instruction=CHOICE,
            extra={"options": options},
        )


def squad(records: Records) -> Iterator[Draft]:
    """The model sees the question, the user knows the paragraph, sentence by sentence; `full` has both."""
    for number, record in enumerate(records):
        answers = list(dict.fromkeys(record["answers"]["text"]))
        yield _held_by_user(
            row_id(record, "squad", number), record["question"], record["context"], answers, record.get("title", "")
        )


def triviaqa(records: Records) -> Iterator[Draft]:
    """The same with the first Wikipedia article of each question; those without one are left out."""
    for number, record in enumerate(records):
        articles = [text for text in record["entity_pages"]["wiki_context"] if text.strip()]
        answer = record["answer"]
        if articles:
            accepted = list(dict.fromkeys([answer["value"], *answer["aliases"]]))
            yield _held_by_user(row_id(record, "triviaqa", number), record["question"], articles[0], accepted, "")


def _held_by_user(row: str, question: str, text: str, answers: Sequence[str], group: str) -> Draft:
    facts = sentence_facts(text, "")[:MAX_SENTENCES]
    return Draft(
        row,
        "\n\n".join([" ".join(fact.text for fact in facts), question]),
        answers[0],
        facts,
        question,
        grader="text",
        group=group,
        instruction=SHORT,
        extra={"aliases": list(answers)},
    )
