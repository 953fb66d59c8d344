"""Public data sets as rows: `load("mip_gsm8k")`, or from a local file, `load("mip_gsm8k", path=...)`.

Nothing here is in the repository and nothing is downloaded unasked: `evals.data.fetch.fetch` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evals.data import code, dialogues, knowledge, premises
from evals.data.fetch import available
from evals.data.registry import DataError, DataSet, data_sets, named, read_records
from evals.data.shapes import Draft, Records, versions
from evals.rows import Row


@dataclass(frozen=True, slots=True)
class Source:
    """What a task is made from: a data set, and how its records become problems."""

    dataset: str
    drafts: Callable[[Records], Iterator[Draft]]


SOURCES: dict[str, Source] = {
    "pir_mip_gsm8k": Source("mip_gsm8k", premises.mip_gsm8k),
    "pir_mip_math": Source("mip_math", premises.mip_math),
    "pir_questbench_gsmq": Source("questbench_gsmq", premises.questbench_gsmq),
    "pir_askmind": Source("askmind", premises.askmind),
    "pir_in3": Source("in3", dialogues.in3),
    "pir_math_chat": Source("math_chat", dialogues.math_chat),
    "pir_bigcodebench_chat": Source("bigcodebench_chat", dialogues.bigcodebench_chat),
    "pir_docedit_chat": Source("docedit_chat", dialogues.docedit_chat),
    "pir_mmlu": Source("mmlu", knowledge.mmlu),
    "pir_mmlu_pro": Source("mmlu_pro", knowledge.mmlu_pro),
    "pir_triviaqa": Source("triviaqa", knowledge.triviaqa),
    "pir_squad": Source("squad", knowledge.squad),
    "pir_gsm8k_full": Source("gsm8k", premises.gsm8k),
    "pir_humaneval_under": Source("humaneval", code.humaneval_under),
}
"""By the task that they feed."""


def load(task: str, path: Path | str | None = None, *, split: str = "test") -> list[Row]:
    """The rows of a task, from a local file or from what was fetched.

    Args:
        task: a key of `SOURCES`.
        path: a file in the data set's own format, or of the same fields as JSON, JSON lines, CSV or Parquet.
        split: "test", "train" or "all"; only the CollabLLM sets have a train split.

    Raises:
        DataError: there is no such file, it is not what was fetched, or it is no file of this data set.
    """
    source = SOURCES[task]
    dataset = named(source.dataset)
    file = Path(path) if path else available(dataset)
    records = read_records(file)
    try:
        drafts = list(source.drafts(records))
    except KeyError as error:
        raise DataError(f"{file} has a record without {error}; is it {dataset.title}?") from error
    except (ValueError, TypeError, AttributeError, IndexError, StopIteration) as error:
        raise DataError(f"{file} is not {dataset.title}: {error}") from error
    rows = [row for draft in drafts if split in (draft.split, "all") for row in versions(draft, task, dataset)]
    if not rows:
        raise DataError(f"{file} gives no rows of split {split}")
    return rows


__all__ = ["SOURCES", "DataError", "DataSet", "Source", "data_sets", "load"]
