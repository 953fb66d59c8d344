"""Figures of scripted policies come out as theory says, and nothing that failed leaves the denominator."""

from __future__ import annotations

import pytest

from evals.metrics import breakdown, figures, num_left_out, sample_figures
from evals.rows import CONDITIONS
from tests.evals.hand_made import failed, played, policy, row, turn, unjudged


def values(run, **kwargs):
    return {name: estimate.value for name, estimate in figures(run, **kwargs).items()}


def test_asking_for_just_what_is_missing_recovers_the_whole_gap():
    found = figures(policy("oracle"))
    gap = found["recovered_gap"]
    assert (gap.value, gap.low, gap.high) == (1, 1, 1)
    assert found["gain_over_no_ask"].value == pytest.approx(0.6)
    expected = {
        "ask_precision": 1,
        "ask_recall": 1,
        "ask_f1": 1,
        "over_ask": 0,
        "under_ask": 0,
        "first_question_precision": 1,
        "fact_coverage": 1,
        "turns": 0.5,
        "turns_when_asked": 1,
    }
    assert {name: found[name].value for name in expected} == expected


def test_never_asking_recovers_nothing():
    found = figures(policy("never"))
    gap = found["recovered_gap"]
    assert (gap.value, gap.low, gap.high) == (0, 0, 0)
    assert found["under_ask"].value == 1
    assert found["over_ask"].value == 0
    assert found["ask_recall"].value == found["ask_f1"].value == 0
    assert found["turns"].value == 0
    # Without a single ask there is nothing for a precision to be of.
    assert not found.keys() & {"turns_when_asked", "first_question_precision"}
    assert found["ask_precision"].to_json()["value"] is None


def test_always_asking_over_asks_on_every_complete_problem():
    found = values(policy("always"))
    assert found["over_ask"] == 1
    assert found["under_ask"] == 0
    assert found["recovered_gap"] == 1
    assert found["ask_precision"] == 0.5
    assert found["ask_recall"] == 1
    assert found["ask_f1"] == pytest.approx(2 / 3)
    assert found["ask_balanced_accuracy"] == 0.5


def test_half_of_the_gap_is_half_of_the_gap():
    both = zip(policy("oracle"), policy("never"), strict=True)
    run = [never if int(never.row.pair_id[1:]) >= 20 else oracle for oracle, never in both]
    gap = figures(run)["recovered_gap"]
    assert gap.value == pytest.approx(0.5)
    assert 0.2 < gap.low < 0.5 < gap.high < 0.8


def test_errors_and_cut_offs_stay_in_the_denominator_as_wrong():
    run = [played(row(k)) for k in range(8)]
    run[0], run[1] = failed(run[0]), failed(run[1])
    found = figures(run)
    assert found["accuracy/interactive"].value == pytest.approx(6 / 8)
    assert found["accuracy/interactive"].n == 8
    assert found["errors/interactive"].value == pytest.approx(2 / 8)


def test_what_a_judge_failed_on_is_neither_right_nor_wrong_and_is_counted():
    run = [played(row(0)), played(row(1), right=False), unjudged(played(row(2)))]
    found = figures(run)
    assert found["accuracy/interactive"].value == 0.5
    assert found["accuracy/interactive"].n == 2
    assert found["unjudged/interactive"].value == pytest.approx(1 / 3)


def test_an_error_is_wrong_even_where_the_judge_failed_on_it():
    found = figures([failed(unjudged(played(row(0)))), played(row(1))])
    assert found["accuracy/interactive"].value == 0.5


def test_the_gap_is_measured_on_rows_played_under_all_conditions():
    run = [played(row(0), condition) for condition in CONDITIONS]
    run += [played(row(1), "interactive", right=False), played(row(1), "no_ask", right=False)]
    assert num_left_out(run) == 1
    found = figures(run)
    assert found["recovered_gap"].n == 1
    assert found["gain_over_no_ask"].n == 2
    assert "recovered_gap" not in figures([played(row(0)), played(row(0), "no_ask")])


def test_tokens_of_the_simulator_are_never_the_policys():
    one = played(row(0), "interactive", turn("f1"), turn())
    found = sample_figures(one)
    assert found["tokens_policy/interactive"] == 100
    assert found["tokens_simulator"] == 14
    assert found["tokens_judge/interactive"] == 0
    assert found["seconds_simulator"] == 1.0


def test_questions_count_once_each_and_facts_once():
    of = row(0, num_facts=2)
    found = sample_figures(played(of, "interactive", turn(), turn("f1"), turn("f1")))
    assert found["turns"] == 3
    assert found["fact_coverage"] == 0.5
    assert found["first_question_precision"] == 0


def test_asking_is_measured_only_where_one_may_ask():
    floor = sample_figures(played(row(0), "no_ask"))
    assert not floor.keys() & {"under_ask", "turns", "fact_coverage", "over_ask"}


def test_precision_does_not_hang_on_how_many_rows_of_each_kind_there_are():
    pairs = [played(row(k, complete=c), "interactive", turn()) for k in range(5) for c in (False, True)]
    lonely = [played(row(100 + k), "interactive", turn("f1")) for k in range(50)]
    assert values(pairs + lonely)["ask_precision"] == 0.5
    assert "ask_precision" not in values(lonely)


def test_repeats_share_a_cluster_and_give_pass_hat_k():
    run = [played(row(pair), repeat=r, right=r < 3) for pair in range(10) for r in range(4)]
    found = figures(run)
    assert found["accuracy/interactive"].value == 0.75
    assert found["accuracy/interactive"].clusters == 10
    assert found["pass^2/interactive"].value == pytest.approx(0.5)
    assert found["pass^4/interactive"].value == 0
    assert "pass^2/interactive" not in figures([played(row(0))])


def test_the_same_pair_in_two_tasks_is_two_clusters():
    run = [played(row(0, task="a")), played(row(0, task="b"))]
    assert figures(run)["accuracy/interactive"].clusters == 2


def test_figures_by_family():
    found = breakdown(policy("oracle"), lambda one: one.row.group)
    assert list(found) == ["pens", "trips"]
    assert found["pens"]["recovered_gap"].value == 1


def test_the_same_log_gives_identical_figures():
    assert figures(policy("always")) == figures(list(policy("always")))
    assert figures([]) == {}
