"""Layout and events of the tabs beside the chat."""

from __future__ import annotations

from typing import Any

import gradio as gr

from evals.problems import SPLITS, families_of
from ui.compare import Compare, Comparison
from ui.explore import Chosen, Runs, problems_html, runs_html
from ui.pieces import QUIET, html


def compare_tab(compare: Compare, *, model: gr.Dropdown, temperature: gr.Slider) -> None:
    """A problem and three columns."""
    comparison = gr.State(Comparison())
    with gr.Row(elem_id="compare-box"):
        problem = gr.Textbox(label="A problem that lacks something", lines=2, max_lines=6, scale=6)
        with gr.Column(scale=1, min_width=170):
            another = gr.Button("Another problem", size="sm")
            run = gr.Button("Compare", variant="primary", size="sm")
    with gr.Row(elem_id="columns"):
        columns = [html(Comparison().html(k), min_width=260) for k in range(3)]
    outputs: list[Any] = [comparison, *columns]
    another.click(compare.another, None, [problem, *outputs], **QUIET)
    gr.on([run.click, problem.submit], compare.run, [problem, comparison, model, temperature], outputs, **QUIET)
    columns[1].click(compare.answer, [comparison, model, temperature], outputs, **QUIET)


def explore_tab(runs: Runs) -> tuple[gr.HTML, gr.Tabs]:
    """Problems, and runs where there are any: the list whose buttons begin a chat, and the tabs."""
    with gr.Tabs() as tabs:
        with gr.Tab("Problems", id="explore"):
            shown = _problems()
        with gr.Tab("Evaluation runs", id="runs"):
            if runs.scored:
                _runs(runs)
            else:
                html(
                    '<p class="empty">No run is open. <code>pir eval view FOLDER</code> opens what <code>pir eval run -o '
                    "FOLDER</code> wrote; give two to read them side by side.</p>"
                )
    return shown, tabs


def _problems() -> gr.HTML:
    with gr.Row():
        split = gr.Dropdown(list(SPLITS), value=SPLITS[0], label="Split")
        family = gr.Dropdown(["All", *families_of(SPLITS[0])], value="All", label="Family")
        kind = gr.Radio(["Incomplete", "Complete"], value="Incomplete", label="Kind")
        seed = gr.Number(0, label="Seed", precision=0)
    shown = html(problems_html(SPLITS[0], "All", "Incomplete", 0), elem_id="problems")
    inputs: list[Any] = [split, family, kind, seed]
    split.input(lambda name: gr.Dropdown(choices=["All", *families_of(name)], value="All"), split, family, **QUIET)
    gr.on([control.change for control in inputs], problems_html, inputs, shown, **QUIET)
    return shown


def _runs(runs: Runs) -> None:
    from evals.report.viewer import DIFFERS, TAGS

    names = list(runs.scored)
    begin = Chosen(names[0], names[1] if names[1:] else "")
    conditions = list(dict.fromkeys(one.condition for scored in runs.scored.values() for one in scored))
    with gr.Row(elem_id="filters"):
        inputs: list[Any] = [
            gr.Dropdown(names, value=begin.first, label="Run", min_width=160),
            gr.Dropdown(
                [("None", ""), *((name, name) for name in names)], value=begin.second, label="Beside it", min_width=160
            ),
            gr.Dropdown(
                [*TAGS, *([DIFFERS] if names[1:] else [])], multiselect=True, label="Only", scale=2, min_width=160
            ),
            gr.Dropdown(["All", *conditions], value="All", label="Condition", min_width=120),
            gr.Textbox(label="Search", min_width=120),
            gr.Number(1, label="Page", precision=0, minimum=1, min_width=60),
        ]
    shown = html(runs_html(runs, begin), elem_id="runs")

    def read(first: str, second: str, tags: list[str], condition: str, search: str, page: float) -> str:
        return runs_html(runs, Chosen(first, second, tags, condition, search.strip(), int(page or 1)))

    gr.on([control.change for control in inputs], read, inputs, shown, **QUIET)
