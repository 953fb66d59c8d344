"""The explore tab: generated problems, and the conversations of evaluation runs, two of them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from evals.problems import Problem, Split, generate
from evals.rows import Transcript
from evals.runs import RunError
from ui.conversation import Asked, Conversation, Part, Step
from ui.render import pane_html

if TYPE_CHECKING:
    from evals.metrics import Scored

Runs = Mapping[str, Sequence["Scored"]]
"""The conversations of each run, by the run's name."""
FILTERS: dict[str, Callable[[Scored], bool]] = {
    "All": lambda scored: True,
    "Asked": lambda scored: scored.transcript.num_asks > 0,
    "Did not ask": lambda scored: scored.transcript.num_asks == 0,
    "Right": lambda scored: scored.score == 1,
    "Wrong": lambda scored: scored.score is not None and scored.score < 1,
    "Asked needlessly": lambda scored: scored.over_asked,
    "Should have asked": lambda scored: scored.under_asked,
}
PAGE = 20


def read_runs(folders: Iterable[Path]) -> Runs:
    """Raises: RunError, for a folder that is no run or a library that is missing."""
    runs: dict[str, list[Scored]] = {}
    for folder in folders:
        try:
            from evals.graded import graded_run

            name = folder.name if folder.name not in runs else str(folder)
            runs[name] = graded_run(folder)[1]
        except ModuleNotFoundError as error:
            raise RunError(f"grading {folder} needs {error.name}: make setup-evals") from error
    return runs


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


def runs_html(runs: Runs, first: str, second: str | None, chosen: str, condition: str, number: int) -> str:
    """A page of conversations of the first run that pass the filter, each beside that of the second run."""
    keep = FILTERS.get(chosen, FILTERS["All"])
    found = [s for s in runs.get(first, ()) if keep(s) and condition in ("All", s.condition)]
    other = {_place(s): s for s in runs.get(second or "", ())}
    if not found:
        return '<p class="empty">No conversation like that.</p>'
    start = min(max(number - 1, 0), (len(found) - 1) // PAGE) * PAGE
    shown = found[start : start + PAGE]
    rows = "".join(_pair(scored, other.get(_place(scored)), first, second) for scored in shown)
    count = f'<p class="empty" role="status">{start + 1} to {start + len(shown)} of {len(found)}</p>'
    return f'{count}<ul class="problems">{rows}</ul>'


def _place(scored: Scored) -> tuple[str, str, str, int]:
    played = scored.transcript
    return played.task, played.row_id, played.condition, played.repeat


def _pair(scored: Scored, beside: Scored | None, first: str, second: str | None) -> str:
    row, played = scored.row, scored.transcript
    hidden = "".join(f"<li>{escape(fact.text)}</li>" for fact in row.hidden)
    kept = f"<b>Kept back</b><ul>{hidden}</ul>" if hidden else ""
    columns = _column(first, scored)
    if second:
        columns += (
            _column(second, beside) if beside else pane_html(second, None, is_live=False, note="It did not play this.")
        )
    badges = "".join(_badge(name) for name, keep in FILTERS.items() if name != "All" and keep(scored))
    fold = escape(f"{played.key}")
    return f"""<li class="problem"><details data-fold="{fold}"><summary><span>{escape(row.shown)}</span><span class="badges">
{_badge(played.condition.replace("_", " "))}{badges}</span></summary><div class="whole">{kept}<p><b>Right answer</b>
{escape(row.gold)}</p></div><div class="beside">{columns}</div></details></li>"""


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
