"""A run's figures as Markdown, CSV, and JSON in lm-eval's shape."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.compare import SMOKE_ROWS
from evals.costs import PARTIES, Bill, Prices, bills, total_cost
from evals.metrics import Scored, breakdown, figures, num_left_out
from evals.report.labels import LABELS, label, money, shown
from evals.rows import CONDITIONS
from evals.significance import minimum_detectable_effect
from evals.simulators.check import check_run
from evals.stats import Z95, Estimate

Figures = Mapping[str, Estimate]

PLANNED_DISCORDANCE = 0.25
"""Of the least effect shown beside a task, before there is a second run: a quarter of the rows change sides."""
_PART_FIGURES = (
    "recovered_gap",
    "accuracy_incomplete/interactive",
    "accuracy_complete/interactive",
    "ask_f1",
    "over_ask",
)


@dataclass(frozen=True, slots=True)
class TaskReport:
    """One task of a run, ready to be written."""

    task: str
    scored: Sequence[Scored]
    figures: Figures
    parts: Mapping[str, Mapping[str, Figures]]
    """By `family` and `split`: figures of each part, where there are several."""
    texts: Mapping[str, Mapping[str, Any]]
    """Corpus scores by condition, where replies are compared with a reference text."""
    bills: Mapping[str, Bill]
    """By party."""

    @property
    def num_rows(self) -> int:
        return len({one.row.row_id for one in self.scored})

    @property
    def minimum_effect(self) -> float:
        return minimum_detectable_effect(self.num_rows, PLANNED_DISCORDANCE)


def task_reports(scored: Sequence[Scored], prices: Prices, *, seed: int = 0) -> list[TaskReport]:
    """In the order in which the tasks occur."""
    by_task: dict[str, list[Scored]] = {}
    for one in scored:
        by_task.setdefault(one.row.task, []).append(one)
    return [
        TaskReport(
            task,
            of_task,
            figures(of_task, seed=seed),
            _parts(of_task, seed),
            _texts(of_task),
            bills(of_task, prices),
        )
        for task, of_task in by_task.items()
    ]


def _parts(scored: Sequence[Scored], seed: int) -> dict[str, Mapping[str, Figures]]:
    parts = {
        "family": breakdown(scored, lambda one: one.row.group, seed=seed),
        "split": breakdown(scored, lambda one: one.row.split, seed=seed),
    }
    return {name: found for name, found in parts.items() if len(found) > 1}


def _texts(scored: Sequence[Scored]) -> dict[str, Mapping[str, Any]]:
    from evals.grading.text import corpus_scores, visible

    found: dict[str, Mapping[str, Any]] = {}
    for condition in CONDITIONS:
        texts = [
            (visible(one.transcript.final), one.row.gold)
            for one in scored
            if one.condition == condition and one.row.grader == "text" and "aliases" not in one.row.extra
        ]
        if texts:
            found[condition] = corpus_scores(*map(list, zip(*texts, strict=True)))
    return found


def warnings(reports: Sequence[TaskReport], manifest: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing a figure."""
    found = []
    scored = [one for report in reports for one in report.scored]
    rows = {(one.row.task, one.row.row_id): one.row for one in scored}
    user = check_run(list(rows.values()), (one.transcript for one in scored), manifest["identity"].get("user", {}))
    if user.stamp:
        found.append(user.stamp)
    judges = {str(one.grade.detail["judge"]) for one in scored if "judge" in one.grade.detail}
    judges |= {ask.judge for one in scored for ask in one.asks}
    identity = manifest["identity"]
    for role, model in (("model", identity.get("model")), ("user simulator", identity.get("user", {}).get("model"))):
        if model in judges:
            found.append(f"The judge {model} is the {role} too, and may be partial")
    for report in reports:
        if report.num_rows < SMOKE_ROWS:
            found.append(f"{report.task}: {report.num_rows} rows are a smoke test, not a measurement")
        failed = sum(one.transcript.stop == "error" for one in report.scored)
        if failed:
            found.append(f"{report.task}: {failed} of {len(report.scored)} conversations failed; they count as wrong")
        if left := sum(one.score is None for one in report.scored):
            found.append(f"{report.task}: {left} conversations are unjudged and in no accuracy")
        asks = [ask for one in report.scored for ask in one.asks]
        if left := sum(not ask.items for ask in asks):
            found.append(f"{report.task}: {left} of {len(asks)} asks are unjudged and in no helpfulness")
        if left := num_left_out(report.scored):
            found.append(f"{report.task}: {left} rows were not played under all conditions and are not in the gap")
    return found


def markdown(reports: Sequence[TaskReport], manifest: Mapping[str, Any], plots: Sequence[str]) -> str:
    """The report; `plots` are names of files beside it."""
    identity = manifest["identity"]
    lines = [f"# {_cell(identity.get('model', 'a model'))}", ""]
    lines += [f"> **{_cell(warning)}**\n" for warning in warnings(reports, manifest)]
    lines += [
        "Intervals are of 95 %, clustered by problem. Conversations that failed or were cut off count as wrong.",
        "",
        *_table(("what", "value"), ((name, _cell(_flat(value))) for name, value in _described(manifest).items())),
    ]
    for report in reports:
        lines += [f"## {_cell(report.task)}", "", *_task_lines(report)]
    lines += [f"![{name}]({name})\n" for name in plots]
    return "\n".join(lines) + "\n"


def _described(manifest: Mapping[str, Any]) -> dict[str, Any]:
    tasks = {
        f"task {name}": f"version {task.get('version')}, {task['num_rows']} rows, data {task['data_sha'][:12]}"
        for name, task in manifest["tasks"].items()
    }
    names = ("base_url", "created", "pir_serve_version", "lm_eval_version", "conditions", "repeats", "grading")
    return {**manifest["identity"], **tasks, **{name: manifest[name] for name in names if name in manifest}}


def _task_lines(report: TaskReport) -> Iterator[str]:
    least = report.minimum_effect
    effect = "no difference" if math.isnan(least) else f"a difference of {100 * least:.0f} points"
    yield f"{report.num_rows} rows, which find {effect} between two models four times in five.\n"
    yield from _table(("rows", "condition", "conversations", "accuracy", "tokens by the model"), _conditions(report))
    yield from _table(("figure", "value"), ((label(n), shown(n, report.figures[n])) for n in _rest(report.figures)))
    for name, parts in report.parts.items():
        heads = [figure for figure in _PART_FIGURES if any(figure in found for found in parts.values())]
        rows = (
            (_cell(part), *(shown(figure, found[figure]) if figure in found else "" for figure in heads))
            for part, found in parts.items()
        )
        yield from _table((name, *map(label, heads)), rows)
    for condition, scores in report.texts.items():
        rows = ((name, f"{value:.2f}" if isinstance(value, float) else str(value)) for name, value in scores.items())
        yield from _table((f"texts, {condition}", "value"), rows)
    yield from _costs(report)
    yield from _faults(report)


def _costs(report: TaskReport) -> Iterator[str]:
    rows = [
        (PARTIES[party], str(bill.tokens_in), str(bill.tokens_out), money(bill.cost))
        for party, bill in report.bills.items()
    ]
    total = total_cost(report.bills)
    if total is None:
        yield from _table(("tokens of", "in", "out"), (row[:3] for row in rows))
    else:
        yield from _table(("tokens of", "in", "out", "cost"), [*rows, ("all", "", "", money(total))])


def _conditions(report: TaskReport) -> Iterator[tuple[str, ...]]:
    for kind in ("incomplete", "complete"):
        for condition in CONDITIONS:
            of_kind = [
                one
                for one in report.scored
                if one.condition == condition and one.row.is_complete == (kind == "complete")
            ]
            if of_kind:
                found = report.figures.get(f"accuracy_{kind}/{condition}")
                tokens = sum(one.transcript.model_tokens for one in of_kind) / len(of_kind)
                accuracy = shown("accuracy", found) if found else "unjudged"
                yield kind, condition, str(len(of_kind)), accuracy, f"{tokens:.0f}"


def _rest(found: Figures) -> list[str]:
    """The other figures in the order of their labels; what never happened and what stands above is left out."""
    order = {name: place for place, name in enumerate(LABELS)}
    names = sorted(found, key=lambda name: (order.get(name.partition("/")[0], len(order)), name))
    seldom = (
        "truncated",
        "format_errors",
        "errors",
        "unparsed",
        "grader_timeouts",
        "unjudged",
        "tokens_judge",
        "turns_over",
    )
    return [n for n in names if not n.startswith("accuracy") and (found[n].value or not n.startswith(seldom))]


def _faults(report: TaskReport) -> Iterator[str]:
    faults = Counter(
        f"{one.transcript.culprit or 'error'}: {one.transcript.error}"
        for one in report.scored
        if one.transcript.stop == "error"
    )
    faults += Counter(f"format: {fault}" for one in report.scored for fault in one.transcript.format_errors)
    if faults:
        yield from _table(("fault", "conversations"), ((_cell(f), str(n)) for f, n in faults.most_common(20)))
    differ = [one for one in report.scored if one.grade.detail.get("official", one.grade.verdict) != one.grade.verdict]
    if differ:
        yield f"math-verify and the official grader disagree on {len(differ)} of {len(report.scored)} answers:\n"
        rows = (
            (
                _cell(one.row.row_id),
                _cell(one.grade.answer[:200]),
                _cell(one.row.gold),
                one.grade.verdict,
                str(one.grade.detail["official"]),
            )
            for one in differ[:50]
        )
        yield from _table(("row", "answer", "gold", "math-verify", "official"), rows)
    levels = Counter(str(one.grade.detail["sandbox"]) for one in report.scored if "sandbox" in one.grade.detail)
    if levels:
        yield f"Code ran in the sandbox of level {', '.join(levels)}.\n"


def _table(heads: Sequence[str], rows: Iterator[tuple[str, ...]] | Any) -> list[str]:
    body = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads), *body, ""] if body else []


def _cell(text: object) -> str:
    """Text of a model or a data set that stays in its cell."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in "\\|`*_<>[]" else letter for letter in plain)


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_flat(entry)}" for key, entry in value.items() if entry not in (None, "", {}, []))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def csv_text(reports: Sequence[TaskReport]) -> str:
    """One line a figure: task, part (`all`, `family=travel`), figure, value, low, high, n, clusters; empty: undefined."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("task", "part", "figure", "value", "low", "high", "n", "clusters"))
    for report in reports:
        parts = {f"{by}={part}": found for by, of in report.parts.items() for part, found in of.items()}
        for part, found in {"all": report.figures, **parts}.items():
            for name, estimate in found.items():
                data = estimate.to_json()
                values = ("" if value is None else value for value in data.values())
                writer.writerow((_inert(report.task), _inert(part), name, *values))
        for party, bill in report.bills.items():
            if bill.cost is not None:
                writer.writerow(
                    (_inert(report.task), "all", f"cost/{party}", bill.cost, "", "", len(report.scored), "")
                )
    return out.getvalue()


def _inert(text: str) -> str:
    """A name that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def results_json(reports: Sequence[TaskReport], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """As lm-eval writes it (`results[task]["figure,none"]`), with the interval of each figure in `intervals`."""
    return {
        "results": {report.task: _lm_eval_metrics(report) for report in reports},
        "intervals": {report.task: {n: found.to_json() for n, found in report.figures.items()} for report in reports},
        "costs": {report.task: {party: bill.to_json() for party, bill in report.bills.items()} for report in reports},
        "texts": {report.task: dict(report.texts) for report in reports if report.texts},
        "versions": {name: task.get("version") for name, task in manifest["tasks"].items()},
        "n-samples": {report.task: {"original": report.num_rows, "effective": report.num_rows} for report in reports},
        "config": {key: value for key, value in manifest.items() if key not in ("schema", "tasks")},
        "tasks": manifest["tasks"],
        "warnings": warnings(reports, manifest),
    }


def _lm_eval_metrics(report: TaskReport) -> dict[str, Any]:
    metrics: dict[str, Any] = {"alias": report.task}
    for name, found in report.figures.items():
        data = found.to_json()
        half = (found.high - found.low) / (2 * Z95)
        metrics[f"{name},none"] = data["value"]
        metrics[f"{name}_stderr,none"] = round(half, 6) if math.isfinite(half) else "N/A"
    return metrics
