"""The explore tab: generated problems, and the conversations of evaluation runs, two of them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.grading import GradingOptions
from evals.problems import Problem, Split, generate
from evals.rows import Transcript
from evals.runs import RunError
from ui.conversation import Asked, Conversation, Part, Step
from ui.render import pane_html

if TYPE_CHECKING:
    from evals.metrics import Scored

PAGE = 20


@dataclass(frozen=True, slots=True)
class Runs:
    """Evaluation runs, graded alike, by name."""

    scored: Mapping[str, Sequence[Scored]] = field(default_factory=dict)
    manifests: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What of the runs is shown."""

    first: str
    second: str = ""
    """Beside it; empty for none."""
    tags: Sequence[str] = ()
    """Those that must all apply: of `evals.report.viewer.TAGS`, or `DIFFERS`."""
    condition: str = "All"
    search: str = ""
    page: int = 1


def read_runs(folders: Sequence[Path], options: GradingOptions | None = None) -> Runs:
    """Raises: RunError, for a folder that is no run or a library that is missing."""
    runs = Runs({}, {})
    if not folders:
        return runs
    try:
        from evals.graded import graded_run
        from evals.report import viewer  # noqa: F401  # what the page needs of it later
    except ModuleNotFoundError as error:
        raise RunError(f"reading runs needs {error.name}: make setup-evals") from error
    scored, manifests = {}, {}
    for folder in folders:
        name = folder.name if folder.name and folder.name not in scored else str(folder)
        run, scored[name] = graded_run(folder, options)
        manifests[name] = run.manifest
    return Runs(scored, manifests)


def problems_html(split: Split, family: str, kind: str, seed: int, count: int = PAGE) -> str:
    """Generated problems, each with what it hides behind a fold."""
    made = generate(
        split,
        count,
        seed,
        mode="complete" if kind == "Complete" else "incomplete",
        family=None if family == "All" else family,
    )
    return f'<ul class="problems">{"".join(map(_problem, made))}</ul>'


def _problem(problem: Problem) -> str:
    hidden = "".join(f"<li>{escape(fact.text)}</li>" for fact in problem.hidden)
    kept = f"<b>Kept back</b><ul>{hidden}</ul>" if hidden else ""
    text = escape(problem.shown)
    return f"""<li class="problem"><p class="tagline">{escape(problem.family)}</p><p>{text}</p><div class="actions">
<button type="button" class="quiet" data-act="begin" data-text="{text}">Try in chat</button>
<details class="reveal" data-fold="reveal-{escape(problem.row_id)}"><summary>Reveal the whole problem</summary>
<div class="whole"><p>{escape(problem.full)}</p>{kept}<p><b>Answer</b> {escape(problem.gold)}</p></div></details></div></li>"""


def runs_html(runs: Runs, chosen: Chosen) -> str:
    """A page of conversations of the first run that pass the filters, each beside that of the second run."""
    other = {_place(one): one for one in runs.scored.get(chosen.second, ())}
    found = []
    for one in runs.scored.get(chosen.first, ()):
        beside = other.get(_place(one))
        tagged = _tags(one, beside) if chosen.second else _tags(one)
        is_found = chosen.search.lower() in _searched(one).lower()
        if is_found and chosen.condition in ("All", one.condition) and set(chosen.tags) <= set(tagged):
            found.append((one, beside, tagged))
    warning = _warning(runs, chosen)
    if not found:
        return f'{warning}<p class="empty" role="status">No conversation like that.</p>'
    start = min(max(chosen.page - 1, 0), (len(found) - 1) // PAGE) * PAGE
    shown = found[start : start + PAGE]
    rows = "".join(_pair(*triple, chosen) for triple in shown)
    count = f'<p class="empty" role="status">{start + 1} to {start + len(shown)} of {len(found)}</p>'
    return f'{warning}{count}<ul class="problems">{rows}</ul>'


def _tags(one: Scored, *beside: Scored | None) -> list[str]:
    """What applies to a conversation, and whether the one beside it (None: not played) went another way."""
    from evals.report.viewer import DIFFERS, differ, tags

    return [*tags(one), *([DIFFERS] if beside and differ([one, *beside]) else [])]


def _searched(one: Scored) -> str:
    row, transcript = one.row, one.transcript
    return " ".join((row.row_id, row.task, row.group, row.shown, transcript.reasoning, transcript.final))


def _warning(runs: Runs, chosen: Chosen) -> str:
    from evals.compare import mismatches

    if chosen.second in ("", chosen.first):
        return ""
    reasons = mismatches(runs.manifests[chosen.first], runs.manifests[chosen.second])
    said = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f'<div class="trouble" role="note">Not to be compared:<ul>{said}</ul></div>' if reasons else ""


def _place(scored: Scored) -> tuple[str, str, str, str, int]:
    row, played = scored.row, scored.transcript
    return row.task, row.row_id, row.shown, played.condition, played.repeat


def _pair(scored: Scored, beside: Scored | None, tagged: Sequence[str], chosen: Chosen) -> str:
    row, played = scored.row, scored.transcript
    hidden = "".join(f"<li>{escape(fact.text)}</li>" for fact in row.hidden)
    kept = f"<b>Kept back</b><ul>{hidden}</ul>" if hidden else ""
    columns = _column(chosen.first, scored)
    if chosen.second:
        columns += (
            _column(chosen.second, beside)
            if beside
            else pane_html(chosen.second, None, is_live=False, note="It did not play this.")
        )
    badges = "".join(_badge(text) for text in (played.condition.replace("_", " "), *tagged))
    return f"""<li class="problem"><details data-fold="{escape(played.key)}"><summary><span>{escape(row.shown)}</span>
<span class="badges">{badges}</span></summary><div class="whole">{kept}<p><b>Right answer</b> {escape(row.gold)}</p></div>
<div class="beside">{columns}</div></details></li>"""


def _badge(text: str) -> str:
    return f'<span class="badge">{escape(text)}</span>'


def _column(run: str, scored: Scored) -> str:
    verdict = "" if scored.score is None else "right" if scored.score == 1 else "wrong"
    return pane_html(run, played(scored.transcript), is_live=False, verdict=verdict, user="Simulated user")


def played(transcript: Transcript) -> Conversation:
    """A conversation of an evaluation, as the chat shows its own."""
    parts: list[Part] = []
    for number, turn in enumerate([*transcript.turns, None]):
        parts += [
            Step(str(step["text"]).strip(), step["entropy"])
            for step in transcript.steps
            if step["leg"] == number or (turn is None and step["leg"] > number)
        ]
        if turn is not None:
            parts.append(Asked(turn.ask, turn.response))
    if not transcript.steps:
        parts = [
            *(Step(line, None) for line in transcript.reasoning.splitlines() if line.strip() and "<" not in line),
            *parts,
        ]
    return Conversation(
        "", tuple(parts), transcript.final, "completed" if transcript.final else "failed",
        detail=transcript.error or transcript.stop, tokens=transcript.model_tokens, seconds=transcript.seconds,
    )  # fmt: skip
