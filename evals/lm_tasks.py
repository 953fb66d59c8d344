"""What our lm-eval tasks share: rows as documents, scores from transcripts, and the registration of the model `pir`.

A task's `utils.py` holds a function `rows(...) -> Sequence[Row]`, whose parameters are the task's options, and
`load = documents("name", rows)`. A parameter `data` is a local file that replaces what would be fetched. Importing this
module registers the model, so `lm_eval --tasks PATH.yaml --model pir` finds it: lm-eval reads a task file, and hence this,
before it looks for the model.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from evals.grading import grade
from evals.metrics import Scored, sample_figures
from evals.rows import Row, Transcript

MODEL = "pir"

Loader = Callable[..., Sequence[Row]]


def register_model() -> None:
    """Makes `pir` known to lm-eval, beside its own models.

    Those are registered by importing `lm_eval.models`, and no longer if anything was registered before.
    """
    import lm_eval.models  # noqa: F401
    from lm_eval.api.registry import model_registry

    if MODEL not in model_registry:
        model_registry.register(MODEL, target="evals.lm:PirLM")


def documents(task: str, rows: Loader) -> Callable[..., dict[str, Any]]:
    """A task's `custom_dataset`.

    lm-eval calls it with the task's metadata, the model's arguments and `--metadata`, all in one. Only what `rows` names
    is handed on: a model's `seed` is no option of the data.
    """
    register_model()
    options = inspect.signature(rows).parameters

    def load(version: object = None, **given: Any) -> dict[str, Any]:
        from datasets import Dataset

        data = given.get("data")
        if isinstance(data, Mapping):  # files by task, or one for whichever task it is
            given["data"] = data.get(task) or data.get("")
        chosen = rows(**{name: value for name, value in given.items() if name in options and value is not None})
        docs = [
            {
                "row_id": row.row_id,
                "shown": row.shown,
                "gold": row.gold,
                "task_version": str(version),
                # As text: a table of documents would add every key of one row to all the others.
                "row": json.dumps(row.to_json() | {"task": task}, ensure_ascii=False),
            }
            for row in chosen
        ]
        return {"test": Dataset.from_list(docs)}

    load.rows = rows  # type: ignore[attr-defined]  # `pir eval tasks` lists its options
    return load


def row_of(doc: Mapping[str, Any]) -> Row:
    """The row of a document that `documents` made."""
    return Row.from_json(json.loads(doc["row"]))


def pack(transcripts: Sequence[Transcript]) -> str:
    """What the model returns for a document. lm-eval writes strings to its samples as they are, and anything else not."""
    return json.dumps({"transcripts": [transcript.to_json() for transcript in transcripts]}, ensure_ascii=False)


def unpack(row: Row, result: str) -> list[Transcript]:
    """The transcripts of a document. The reply of a model that is not ours counts as played without asking."""
    try:
        data = json.loads(result)
    except ValueError:
        data = None
    if isinstance(data, dict) and isinstance(data.get("transcripts"), list):
        return [Transcript.from_json(entry) for entry in data["transcripts"]]
    return [
        Transcript(
            key="",
            row_id=row.row_id,
            pair_id=row.pair_id,
            task=row.task,
            condition="interactive" if row.is_complete else "no_ask",
            repeat=0,
            turns=(),
            final=result,
            reasoning="",
            stop="answer",
        )
    ]


_METRICS = {
    "acc": "accuracy_incomplete/interactive",
    "acc_no_ask": "accuracy_incomplete/no_ask",
    "acc_full": "accuracy_incomplete/full",
    "acc_complete": "accuracy_complete/interactive",
    "under_ask": "under_ask",
    "over_ask": "over_ask",
    "first_question_precision": "first_question_precision",
    "fact_coverage": "fact_coverage",
    "turns": "turns",
}
"""Names in lm-eval's tables, by those of `evals.metrics.sample_figures`."""


def score(doc: Mapping[str, Any], results: Sequence[str | Sequence[str]]) -> dict[str, float]:
    """A document's metrics: means over its repeats. Those that do not apply to it are left out, and so is it from them."""
    row = row_of(doc)
    given = [results[0]] if isinstance(results[0], str) else list(results[0])
    transcripts = [transcript for result in given for transcript in unpack(row, result)]
    found: dict[str, list[float]] = {"errors": [float(t.stop == "error") for t in transcripts]}
    for transcript in transcripts:
        figures = sample_figures(Scored(row, transcript, grade(row, transcript)))
        for name, ours in _METRICS.items():
            if ours in figures:
                found.setdefault(name, []).append(figures[ours])
    return {name: fmean(values) for name, values in found.items() if values}
