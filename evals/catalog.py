"""The tasks that come with us: what there is, what options they take, and loading them for lm-eval."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.lm_tasks import register_model
from evals.runs import RunError

TASKS = Path(__file__).parent / "tasks"


@dataclass(frozen=True, slots=True)
class Entry:
    """A task, or a group of tasks."""

    name: str
    version: str
    options: dict[str, Any]
    """Of a task's data, with their defaults."""
    members: tuple[str, ...]
    """Of a group; empty for a task."""
    page: str
    """Its README."""

    def to_json(self) -> dict[str, Any]:
        data = dataclasses.asdict(self)
        return {name: value for name, value in data.items() if name != "page"}


def catalog() -> list[Entry]:
    """All tasks, then all groups, by name; no data is loaded."""
    from lm_eval.tasks._yaml_loader import load_yaml

    entries = []
    for file in sorted(TASKS.rglob("*.yaml")):
        config = load_yaml(file)
        page = file.parent / "README.md"
        members = [m["task"] if isinstance(m, dict) else m for m in config["task"]] if "group" in config else []
        entries.append(
            Entry(
                name=config.get("group") or config["task"],
                version=str(config.get("metadata", {}).get("version", "")),
                options=_options(config.get("custom_dataset")),
                members=tuple(members),
                page=page.read_text(encoding="utf-8") if page.is_file() else "",
            )
        )
    return sorted(entries, key=lambda entry: (bool(entry.members), entry.name))


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
    except (OSError, ValueError, LookupError, TypeError) as error:
        if twice := re.search("multiple values for keyword argument '(.+)'", str(error)):
            raise RunError(
                f"{', '.join(names)} sets the option {twice[1]} itself; name the tasks in it instead of the group"
            ) from error
        raise RunError(f"the data of {', '.join(names)} could not be loaded: {error}") from error
    _check_options(loaded["tasks"], metadata)
    return loaded


def _options(loader: Callable[..., Any] | None) -> dict[str, Any]:
    rows = getattr(loader, "rows", None)
    return {} if rows is None else {name: option.default for name, option in inspect.signature(rows).parameters.items()}


def _check_options(tasks: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    known = {name for task in tasks.values() for name in _options(task.config.custom_dataset)}
    given = {name for name, value in metadata.items() if name != "data" or value}
    if unknown := sorted(given - known):
        has = ", ".join(sorted(known)) or "none"
        raise RunError(f"these tasks have no option {', '.join(unknown)}; they have {has}")
