"""Layout and events of the tabs beside the chat."""

from __future__ import annotations

from typing import Any

import gradio as gr

from evals.problems import SPLITS, families_of
from ui.compare import Compare, Comparison
from ui.explore import FILTERS, Runs, problems_html, runs_html
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


def explore_tab(runs: Runs) -> gr.HTML:
    """Problems, and runs where there are any; returns the list whose buttons begin a chat."""
    with gr.Tabs():
        with gr.Tab("Problems"):
            shown = _problems()
        with gr.Tab("Evaluation runs"):
            if runs:
                _runs(runs)
            else:
                html(
                    '<p class="empty">No run is open. <code>pir ui --run FOLDER</code> opens what <code>pir eval run -o '
                    "FOLDER</code> wrote; give two to read them side by side.</p>"
                )
    return shown


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
    names = list(runs)
    second = names[1] if len(names) > 1 else None
    with gr.Row():
        first = gr.Dropdown(names, value=names[0], label="Run")
        beside = gr.Dropdown([("None", ""), *((name, name) for name in names)], value=second or "", label="Beside it")
        chosen = gr.Dropdown(list(FILTERS), value="All", label="Only")
        condition = gr.Dropdown(["All", "interactive", "no_ask", "full"], value="All", label="Condition")
        page = gr.Number(1, label="Page", precision=0, minimum=1)
    shown = html(runs_html(runs, names[0], second, "All", "All", 1), elem_id="runs")

    def read(first: str, beside: str, chosen: str, condition: str, page: float) -> str:
        return runs_html(runs, first, beside, chosen, condition, int(page or 1))

    inputs: list[Any] = [first, beside, chosen, condition, page]
    gr.on([control.change for control in inputs], read, inputs, shown, **QUIET)
