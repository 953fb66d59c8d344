"""The tasks that come with us: where they are, what options they take, and loading them for lm-eval."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.lm_tasks import register_model
from evals.runs import RunError

TASKS = Path(__file__).parent / "tasks"


def load_tasks(names: Sequence[str], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """lm-eval's task objects, from our folder alone: reading its own 14,000 files takes ten seconds.

    Raises:
        RunError: no such task, an option that none of them has, or data that cannot be had.
    """
    from lm_eval.tasks import TaskManager

    register_model()
    manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata=dict(metadata))
    if unknown := [name for name in names if name not in manager.all_tasks]:
        raise RunError(f"no task {', '.join(unknown)}; there are {', '.join(manager.all_tasks)}")
    try:
        loaded: dict[str, Any] = dict(manager.load(list(names)))
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"the data could not be loaded: {error}") from error
    _check_options(loaded["tasks"], metadata)
    return loaded


def options_of(task: Any) -> dict[str, Any]:
    """Options of a loaded task's data, with their defaults."""
    rows = getattr(task.config.custom_dataset, "rows", None)
    if rows is None:
        return {}
    return {name: parameter.default for name, parameter in inspect.signature(rows).parameters.items()}


def _check_options(tasks: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    known = {name for task in tasks.values() for name in options_of(task)}
    given = {name for name, value in metadata.items() if name != "data" or value}
    if unknown := sorted(given - known):
        raise RunError(
            f"these tasks have no option {', '.join(unknown)}; they have {', '.join(sorted(known)) or 'none'}"
        )
