"""The card of an exported checkpoint. Its numbers are read from an evaluation's JSON; none is typed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pir_serve.errors import ConfigError

FIGURES = {
    "recovered_gap": "recovered gap",
    "accuracy_incomplete/interactive": "accuracy, a fact missing, asking",
    "accuracy_incomplete/no_ask": "accuracy, a fact missing, asking off (floor)",
    "accuracy_incomplete/full": "accuracy, the whole problem (ceiling)",
    "accuracy_complete/interactive": "accuracy, nothing missing",
    "over_ask": "asks although nothing is missing",
    "under_ask": "does not ask although a fact is missing",
    "ask_precision": "ask precision",
    "ask_recall": "ask recall",
    "turns": "asks a problem",
    "tokens_policy/interactive": "own tokens a problem",
}


def read_evaluation(file: Path) -> dict[str, Any]:
    """`results.json` of `pir eval report`. Raises: ConfigError."""
    try:
        data: dict[str, Any] = json.loads(file.read_text())
        intervals = data["intervals"]
        if not intervals or not all(isinstance(of_task, dict) for of_task in intervals.values()):
            raise ValueError("no intervals")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file} is no evaluation with intervals ({error!r}); `pir eval report RUN` writes one: RUN/report/results.json"
        ) from error
    return data


def card(name: str, base: str, evaluation: Mapping[str, Any] | None, versions: Mapping[str, str]) -> str:
    """Markdown with the metadata that model hubs read."""
    lines = [
        *_metadata(name, base, evaluation),
        f"# {name}",
        "",
        "A reasoning model that asks: where it lacks a fact it stops in its reasoning, writes `<asking>question</asking>`, and "
        "goes on with what the user replies between `<response>` tags. `pir.json` says what a server must keep to; `pir serve` "
        "reads it.",
        "",
        f"Trained from `{base}`.",
        "",
        "```sh",
        "pir serve --model .                                      # small models, on a CPU",
        "vllm serve . --served-model-name pir                     # larger ones; then:",
        "pir serve --engine vllm --engine-url http://127.0.0.1:8000 --tokenizer . --port 8001",
        "```",
        "",
        "## Scores",
        "",
        *(_scores(evaluation) if evaluation else ["It has not been evaluated."]),
        "",
        "## Versions",
        "",
        ", ".join(f"{package} {version}" for package, version in versions.items()),
        "",
    ]
    return "\n".join(lines)


def _metadata(name: str, base: str, evaluation: Mapping[str, Any] | None) -> Iterator[str]:
    tags = ["reasoning", "clarifying-questions", "proactive-interactive-reasoning"]
    data: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": tags}
    data["base_model"] = base
    if evaluation:
        results = [
            {
                "task": {"type": "text-generation"},
                "dataset": {"name": task, "type": task},
                "metrics": [
                    {"type": key, "name": label, "value": found[key]["value"]}
                    for key, label in FIGURES.items()
                    if key in found and found[key]["value"] is not None
                ],
            }
            for task, found in evaluation["intervals"].items()
        ]
        data["model-index"] = [{"name": name, "results": results}]
    yield "---"
    yield from (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in data.items())  # JSON is YAML
    yield from ("---", "")


def _scores(evaluation: Mapping[str, Any]) -> Iterator[str]:
    about = evaluation.get("config", {})
    said = {key: about[key] for key in ("simulator", "sampling", "seed", "repeats", "max_turns") if key in about}
    yield f"Measured with `pir eval`, 95 % intervals. Settings: `{json.dumps(said, ensure_ascii=False)}`."
    for task, found in evaluation["intervals"].items():
        version = evaluation.get("versions", {}).get(task)
        yield from ("", f"### {task}" + (f", version {version}" if version is not None else ""), "")
        yield from ("| what | value | interval | n |", "|---|---|---|---|")
        for key, label in FIGURES.items():
            if key in found:
                figure = found[key]
                bounds = f"{_said(figure['low'])} to {_said(figure['high'])}"
                yield f"| {label} | {_said(figure['value'])} | {bounds} | {figure['n']} |"


def _said(value: float | None) -> str:
    return "no bound" if value is None else f"{value:.3f}"
