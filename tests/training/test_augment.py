"""Asking data: asks stand before the uncertain facts, the reasoning stays true, and what is turned down is counted."""

import dataclasses
import json
import random

import pytest

from evals.problems import Problem, make_pair, trace
from pir_serve.settings import AUTO_RESPONSE
from pir_serve.uncertainty import Step
from training.augment import Recipe, Report, asking_rows
from training.entropy import Trace, find_gaps, stated_fact, threshold

PLAIN = Recipe(copies=1, clean=1.0, unanswered=0.0, rebuilt=0.0, follow_up=0.0, volunteered=0.0)


def traced(problem: Problem, *, unsure_of: set[str]) -> Trace:
    """A trace of the true reasoning, unsure (1 nat) of these facts' lines and sure (0.01) of all else."""
    steps, at = [], 0
    for step in problem.steps:
        entropy = 1.0 if step.fact_id in unsure_of else 0.01
        steps.append(Step(step.text, at, at + len(step.text), entropy, 10))
        at += len(step.text) + 1
    facts = tuple(stated_fact(problem, step.text) for step in problem.steps)
    return Trace(problem, trace(problem), tuple(steps), facts)


def incomplete(n: int) -> list[Problem]:
    return [make_pair("train", 3, k)[1] for k in range(n)]


def rows_of(problems: list[Problem], recipe: Recipe = PLAIN, *, extra: bool = False) -> tuple[list[dict], Report]:
    report = Report()
    traces = []
    for p in problems:
        unsure = {f.id for f in p.hidden}
        if extra:
            unsure |= {s.fact_id for s in p.steps if s.fact_id}
        traces.append(traced(p, unsure_of=unsure))
    return list(asking_rows(traces, 0.5, recipe, report)), report


def test_every_fact_line_is_recognised_whatever_its_value() -> None:
    for problem in incomplete(300):
        for step in problem.steps:
            assert stated_fact(problem, step.text) == step.fact_id
            if step.kind == "premise":
                assert stated_fact(problem, step.text.replace("1", "9").replace("4", "77")) == step.fact_id
        assert stated_fact(problem, "Something else entirely is 4.") is None


def test_an_ask_and_its_response_stand_right_before_the_hidden_fact() -> None:
    problems = incomplete(60)
    rows, report = rows_of(problems)
    assert report.rows == len(rows) == 60
    assert report.asks == report.asks_for_hidden
    by_id = {problem.row_id: problem for problem in problems}
    for row in rows:
        problem = by_id[row["row_id"]]
        parts = row["parts"]
        assert parts[0]["author"] == "template" and problem.shown in parts[0]["text"]
        assert {part["author"] for part in parts[1::2]} == {"model"}
        assert {part["author"] for part in parts[2::2]} <= {"user"}
        model_text = "".join(part["text"] for part in parts if part["author"] == "model")
        asked = [fact for fact in problem.hidden if fact.needed]
        assert model_text.count("<asking>") == len(row["asked"]) >= len(asked)
        for part, following in zip(parts[2::2], parts[3::2], strict=True):
            assert part["text"].startswith("\n<response>") and part["text"].endswith("</response>")
            assert following["text"].startswith("\n")
        lines = "".join(p["text"] for p in parts[1:] if p["author"] == "model")
        for step in problem.steps:
            assert step.text in lines
        assert lines.endswith(f"</think>\nThe answer is \\boxed{{{problem.gold}}}.<|end|>")


def test_a_volunteered_fact_stands_before_its_line_and_is_not_asked_for() -> None:
    problems = incomplete(60)
    rows, report = rows_of(problems, dataclasses.replace(PLAIN, volunteered=1.0))
    by_id = {problem.row_id: problem for problem in problems}
    assert report.rows == 60
    for row in rows:
        problem = by_id[row["row_id"]]
        text = "".join(part["text"] for part in row["parts"][1:])
        told = [f for f in problem.hidden if f"\n<response>{f.text}</response>\n" in text and f.id not in row["asked"]]
        assert told, "one hidden fact is said unasked"
        line = next(step.text for step in problem.steps if step.fact_id == told[0].id)
        assert text.index(f"<response>{told[0].text}<") < text.index(f"\n{line}\n")


def test_nobody_states_a_hidden_fact_that_was_not_asked_for() -> None:
    report = Report()
    traces = [traced(problem, unsure_of=set()) for problem in incomplete(40)]
    assert list(asking_rows(traces, 0.5, PLAIN, report)) == []
    assert report.rejected["a hidden fact was not asked for"] == 40


def test_an_uncertain_operation_gets_no_ask() -> None:
    problem = make_pair("train", 3, 1)[0]
    certain = traced(problem, unsure_of=set())
    steps = tuple(
        Step(s.text, s.start, s.end, 2.0 if f is None else s.entropy, s.num_tokens)
        for s, f in zip(certain.steps, certain.fact_ids, strict=True)
    )
    report = Report()
    rows = list(asking_rows([Trace(problem, certain.text, steps, certain.fact_ids)], 0.5, PLAIN, report))
    assert len(rows) == 1 and rows[0]["asked"] == []
    assert report.rejected["operation or unknown step"] >= 1


def test_false_alarms_about_shown_facts_are_kept_and_counted() -> None:
    problems = [make_pair("train", 3, k)[0] for k in range(20)]
    _, report = rows_of(problems, extra=True)
    assert report.asks > 20 and report.asks_for_hidden == 0


def test_an_unanswered_ask_is_followed_by_a_guess_and_no_second_ask() -> None:
    rows, _ = rows_of(incomplete(40), dataclasses.replace(PLAIN, unanswered=1.0))
    for row in rows:
        responses = [p["text"] for p in row["parts"] if p["author"] == "user"]
        assert responses == [f"\n<response>{AUTO_RESPONSE}</response>"]


def test_rebuilt_rows_hold_questions_as_ordinary_turns() -> None:
    rows, _ = rows_of(incomplete(40), Recipe(copies=1, unanswered=0.0, rebuilt=1.0, follow_up=0.0))
    for row in rows:
        assert len(row["parts"]) == 2
        assert row["parts"][0]["text"].count("<|assistant|>") >= 2
        assert "<asking>" not in row["parts"][0]["text"] + row["parts"][1]["text"]


def test_same_recipe_same_rows() -> None:
    problems = incomplete(15)
    first, second = (rows_of(problems, Recipe(seed=5)) for _ in range(2))
    assert json.dumps(first[0]) == json.dumps(second[0])


def test_gap_figures_on_a_case_worked_by_hand() -> None:
    problems = [p for p in incomplete(30) if len(p.hidden) == 1]
    traces = [traced(p, unsure_of={f.id for f in p.hidden}) for p in problems]
    figures = find_gaps(traces, 0.5)
    assert figures["auroc"] == 1.0 and figures["precision"] == figures["recall"] == figures["top1"] == 1.0
    assert figures["gaps"] == len(problems)
    backwards = [traced(p, unsure_of={s.fact_id for s in p.steps if s.fact_id} - {p.hidden[0].id}) for p in problems]
    assert find_gaps(backwards, 0.5)["auroc"] < 0.5


@pytest.mark.parametrize("share", [0.05, 0.2, 0.9])
def test_the_threshold_takes_the_share_it_names(share: float) -> None:
    rng = random.Random(1)
    problem = make_pair("train", 3, 1)[0]
    steps = tuple(Step("a", 0, 1, rng.random(), 1) for _ in range(2000))
    found = threshold([Trace(problem, "", steps, (None,) * 2000)], share)
    assert sum(s.entropy >= found for s in steps) / 2000 == pytest.approx(share, abs=0.005)
