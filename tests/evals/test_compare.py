"""`pir eval compare`: what it finds, and what it refuses to put side by side."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from evals.cli import evaluation
from tests.evals.hand_made import IDENTITY, played, policy, row, write_run


def run_compare(*arguments):
    return CliRunner().invoke(evaluation, ["compare", *map(str, arguments)])


def comparison(tmp_path, *arguments):
    """The tasks of the comparison, from its JSON."""
    file = tmp_path / "compare.json"
    done = run_compare(*arguments, "--json", file)
    assert done.exit_code == 0, done.output
    return json.loads(file.read_text())["tasks"], done.output


def better_and_worse(tmp_path, *, gained=14, lost=2, rows=200, task="hand"):
    """Two runs of which the second is right on `gained` more rows and wrong on `lost` others."""
    first = [played(row(k, task=task), right=k >= gained) for k in range(rows)]
    second = [played(row(k, task=task), right=k < rows - lost) for k in range(rows)]
    return first, second


def test_a_better_run_is_found_better(tmp_path):
    first, second = better_and_worse(tmp_path)
    (task,), output = comparison(tmp_path, write_run(tmp_path / "a", first), write_run(tmp_path / "b", second))
    assert task["num_rows"] == 200
    assert task["mcnemar"] == {"only_first": 2, "only_second": 14}
    # Two or fewer of 16 fair coins, both tails.
    assert task["p"] == task["p_holm"] == pytest.approx(2 * (1 + 16 + 120) / 2**16)
    found = task["differences"]["accuracy/interactive"]
    assert found["value"] == pytest.approx(12 / 200)
    assert 0 < found["low"] < found["value"] < found["high"]
    assert "+6.0 points" in output
    assert "least effect" in output


def test_a_run_does_not_differ_from_itself(tmp_path):
    folder = write_run(tmp_path / "a", policy("oracle"))
    (task,), _ = comparison(tmp_path, folder, folder)
    assert task["p"] == 1
    assert {found["value"] for found in task["differences"].values()} == {0}


def test_many_tasks_raise_the_bar(tmp_path):
    first, second = better_and_worse(tmp_path)
    for name in ("b", "c", "d"):
        same = [played(row(k, task=name)) for k in range(20)]
        first, second = first + same, second + same
    tasks, output = comparison(tmp_path, write_run(tmp_path / "a", first), write_run(tmp_path / "z", second))
    assert [task["task"] for task in tasks] == ["hand", "b", "c", "d"]
    assert tasks[0]["p_holm"] == pytest.approx(4 * tasks[0]["p"])
    assert [task["smoke"] for task in tasks] == [False, True, True, True]
    assert "smoke test only" in output


def test_repeats_are_tested_by_cluster_not_as_further_rows(tmp_path):
    first = [played(row(k), right=k % 2 == 0, repeat=r) for k in range(30) for r in range(3)]
    second = [played(row(k), right=k % 3 != 0, repeat=r) for k in range(30) for r in range(3)]
    (task,), _ = comparison(tmp_path, write_run(tmp_path / "a", first), write_run(tmp_path / "b", second))
    assert task["mcnemar"] is None
    assert task["differences"]["accuracy/interactive"]["clusters"] == 30
    assert task["p"] == task["differences"]["accuracy/interactive"]["p"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"version": "2.0"}, "hand has version 1.0 in one and 2.0 in the other"),
        ({"user": {"name": "llm"}}, "the user simulator differs"),
        ({"max_turns": 2}, "the cap of asks differs"),
        ({"play_version": 2}, "the way of playing differs"),
    ],
)
def test_runs_under_other_rules_are_refused_unless_forced(tmp_path, changed, reason):
    first = write_run(tmp_path / "a", policy("never"))
    second = write_run(tmp_path / "b", policy("oracle"), **changed)
    refused = run_compare(first, second)
    assert refused.exit_code == 1
    assert reason in refused.output
    assert "--force" in refused.output
    assert "accuracy" not in refused.output
    forced = run_compare(first, second, "--force")
    assert forced.exit_code == 0
    assert f"forced although {reason}" in forced.output
    assert "accuracy, something missing" in forced.output


def test_another_model_is_what_one_compares(tmp_path):
    first = write_run(tmp_path / "a", policy("never"))
    second = write_run(tmp_path / "b", policy("oracle"), model="other", sampling={"seed": 2}, server="prompted")
    (task,), _ = comparison(tmp_path, first, second)
    assert task["differences"]["accuracy_incomplete/interactive"]["value"] == pytest.approx(0.6)
    assert task["differences"]["over_ask"]["value"] == 0


def test_rows_that_changed_are_refused_and_never_compared(tmp_path):
    second = [
        replace(one, row=replace(one.row, shown="Another text.")) if k < 5 else one
        for k, one in enumerate(policy("oracle"))
    ]
    second = [replace(one, row=next(o.row for o in second if o.row.row_id == one.row.row_id)) for one in second]
    a, b = write_run(tmp_path / "a", policy("oracle")), write_run(tmp_path / "b", second)
    assert "the rows of hand differ" in run_compare(a, b).output
    (task,), output = comparison(tmp_path, a, b, "--force")
    assert task["num_rows"] == 80 - 2  # the two versions of the first problem
    assert "left out" in output


def test_runs_without_a_common_task_are_told_so(tmp_path):
    a = write_run(tmp_path / "a", [played(row(0, task="x"))])
    b = write_run(tmp_path / "b", [played(row(0, task="y"))])
    assert "no task in common" in run_compare(a, b).output
    assert run_compare(a, b, "--force").exit_code == 0


def test_a_folder_without_a_run_is_a_sentence_not_a_traceback(tmp_path):
    good = write_run(tmp_path / "a", [played(row(0))])
    for bad in (tmp_path, tmp_path / "nowhere"):
        refused = run_compare(good, bad)
        assert refused.exit_code == 1
        assert "is no run" in refused.output
    (tmp_path / "a" / "run.json").write_text("[]")
    assert "another schema" in run_compare(good, good).output
    assert run_compare(good).exit_code == 2
    assert IDENTITY["model"] == "hand"


def test_the_order_of_lines_changes_nothing(tmp_path):
    run = list(policy("oracle"))
    a, b = write_run(tmp_path / "a", run), write_run(tmp_path / "b", list(policy("always")))
    backwards = write_run(tmp_path / "c", run[::-1])
    one, _ = comparison(tmp_path, a, b)
    two, _ = comparison(tmp_path, backwards, b)
    assert one[0]["mcnemar"] == two[0]["mcnemar"]
    assert one[0]["p"] == two[0]["p"]
