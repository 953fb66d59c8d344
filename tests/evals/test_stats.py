"""Statistics against scipy, known values and simulation."""

from __future__ import annotations

import json
import math
from statistics import fmean

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from evals.significance import holm, mcnemar, minimum_detectable_effect
from evals.stats import (
    NOTHING,
    Share,
    clustered_mean,
    kappa,
    paired_bootstrap,
    pass_hat_k,
    ratio_bootstrap,
)


def test_shares_have_the_wilson_interval_of_scipy():
    for hits, n in ((0, 10), (3, 10), (10, 10), (57, 582), (1, 1)):
        expected = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")
        assert Share(hits, n).interval == pytest.approx((expected.low, expected.high))


def test_a_mean_of_independent_values_has_the_t_interval_of_scipy():
    values = np.random.default_rng(0).normal(3, 2, 50).tolist()
    found = clustered_mean(values, range(50))
    low, high = scipy.stats.t.interval(0.95, 49, loc=fmean(values), scale=scipy.stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((fmean(values), low, high))


def test_independent_shares_have_wilsons_interval_or_a_hair_wider():
    flags = [1.0] * 30 + [0.0] * 70
    found, plain = clustered_mean(flags, range(100), share=True), Share(30, 100).interval
    assert found.low == pytest.approx(plain[0], abs=2e-3)
    assert found.high == pytest.approx(plain[1], abs=2e-3)


def test_copies_of_a_row_are_no_further_evidence():
    flags = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    once = clustered_mean(flags, range(10), share=True)
    five_times = clustered_mean(flags * 5, [*range(10)] * 5, share=True)
    assert (five_times.low, five_times.high) == pytest.approx((once.low, once.high))
    assert (five_times.n, five_times.clusters) == (50, 10)


def test_agreement_of_all_does_not_shrink_the_interval_to_a_point():
    found = clustered_mean([1.0] * 20, [*range(10)] * 2, share=True)
    assert (found.value, found.high) == (1, pytest.approx(1))
    assert found.low == pytest.approx(Share(10, 10).interval[0])


def test_counts_that_agree_are_known_and_shares_may_be_fractions():
    assert clustered_mean([1.0] * 10, range(10)).low == 1
    halves = clustered_mean([0.5] * 10, range(10), share=True)
    assert halves.low < 0.5 < halves.high


def test_one_cluster_or_nothing_sets_no_bounds_that_it_cannot_know():
    assert clustered_mean([], []) is NOTHING
    alone = clustered_mean([2.5, 3.5], ["p", "p"])
    assert (alone.low, alone.high) == (-math.inf, math.inf)
    assert alone.to_json() == {"value": 3.0, "low": None, "high": None, "n": 2, "clusters": 1}
    assert json.loads(json.dumps(NOTHING.to_json()))["value"] is None


@pytest.mark.parametrize("kind", ["shares", "means"])
def test_clustered_intervals_cover_the_truth_about_as_often_as_they_say(kind):
    rng, covered, naive = np.random.default_rng(1), 0, 0
    for _ in range(600):
        # A cluster's members share a level: 40 clusters of 5 are far fewer than 200 observations.
        level = rng.beta(2, 3, 40) if kind == "shares" else rng.normal(0.4, 1, 40)
        drawn = rng.random((40, 5)) < level[:, None] if kind == "shares" else level[:, None] + rng.normal(0, 1, (40, 5))
        values, clusters = drawn.astype(float).ravel().tolist(), np.repeat(range(40), 5).tolist()
        found, blind = (clustered_mean(values, of, share=kind == "shares") for of in (clusters, range(200)))
        covered += found.low <= 0.4 <= found.high
        naive += blind.low <= 0.4 <= blind.high
    assert 0.92 < covered / 600 < 0.98
    assert naive / 600 < 0.88


def test_paired_bootstrap_covers_the_difference_and_is_seeded():
    rng, covered, false_alarms = np.random.default_rng(2), 0, 0
    for _ in range(300):
        base = rng.normal(0, 1, 60)
        first, second = base + rng.normal(0, 0.5, 60), base + 0.3 + rng.normal(0, 0.5, 60)
        found = paired_bootstrap(first.tolist(), second.tolist(), range(60), draws=1000)
        covered += found.estimate.low <= 0.3 <= found.estimate.high
        same = paired_bootstrap(first.tolist(), (second - 0.3).tolist(), range(60), draws=1000)
        false_alarms += same.p < 0.05
    assert 0.91 < covered / 300 < 0.98
    assert 0.01 < false_alarms / 300 < 0.10
    again = [paired_bootstrap([0, 1, 0, 1, 1], [1, 1, 0, 0, 1], range(5), seed=3) for _ in range(2)]
    assert again[0] == again[1]
    other = paired_bootstrap(first.tolist(), second.tolist(), range(60), seed=4, draws=1000)
    assert other.estimate.low != found.estimate.low


def test_paired_bootstrap_agrees_with_scipy():
    rng = np.random.default_rng(5)
    first, second = rng.random(80), rng.random(80) + 0.1
    found = paired_bootstrap(first.tolist(), second.tolist(), range(80)).estimate
    expected = scipy.stats.bootstrap((second - first,), np.mean, method="percentile", rng=0).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_runs_that_do_not_differ_have_no_difference():
    found = paired_bootstrap([1, 0, 1], [1, 0, 1], ["a", "b", "c"])
    assert (found.estimate.value, found.estimate.low, found.estimate.high, found.p) == (0, 0, 0, 1)
    assert math.isnan(paired_bootstrap([], [], []).p)


def test_a_ratio_of_equal_columns_is_one_without_spread():
    many = ratio_bootstrap([1, 0] * 50, [1, 0] * 50, range(100))
    assert (many.value, many.low, many.high) == (1, 1, 1)


def test_a_ratio_covers_the_truth_and_admits_an_unsure_denominator():
    rng, covered = np.random.default_rng(6), 0
    for _ in range(300):
        gap = rng.random(80) < 0.5
        gained = gap & (rng.random(80) < 0.6)
        found = ratio_bootstrap(gained.astype(float).tolist(), gap.astype(float).tolist(), range(80), draws=1000)
        covered += found.low <= 0.6 <= found.high
    assert 0.91 < covered / 300 < 0.98
    unsure = ratio_bootstrap([1, 0, 0, 0], [1, 1, -1, 0], range(4))
    assert (unsure.value, unsure.low, unsure.high) == (1, -math.inf, math.inf)
    assert math.isnan(ratio_bootstrap([1, 1], [0, 0], range(2)).value)


def test_mcnemar_is_the_exact_binomial_test():
    first = [True] * 30 + [False] * 10 + [True] * 60
    second = [False] * 30 + [True] * 10 + [True] * 60
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (30, 10)
    # Twice the tail of 10 or fewer of 40 fair coins.
    assert found.p == pytest.approx(2 * scipy.stats.binom.cdf(10, 40, 0.5))
    assert mcnemar([True, False], [True, False]).p == 1
    with pytest.raises(ValueError, match=r"shorter|longer"):
        mcnemar([True], [])


def test_holm_gives_the_published_example():
    # Holm's step-down on 0.01, 0.04, 0.03, 0.005: 0.005*4, 0.01*3, 0.03*2, then no less than before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    skipped = holm([0.04, math.nan, 0.01])
    assert skipped[0] == pytest.approx(0.04)
    assert math.isnan(skipped[1])
    assert skipped[2] == pytest.approx(0.02)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(values):
    adjusted = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))
    by_size = [q for _, q in sorted(zip(values, adjusted, strict=True))]
    assert by_size == sorted(by_size)


@pytest.mark.parametrize(("n", "points"), [(52, 19), (206, 10), (290, 8), (573, 6)])
def test_the_least_effect_that_a_task_of_this_size_can_show(n, points):
    assert 100 * minimum_detectable_effect(n, 0.25) == pytest.approx(points, abs=0.5)


def test_an_effect_of_that_size_is_found_four_times_in_five():
    rng, n, discordant = np.random.default_rng(7), 300, 0.25
    effect = minimum_detectable_effect(n, discordant)
    worse, better = (discordant - effect) / 2, (discordant + effect) / 2
    found = 0
    for _ in range(400):
        lost, won, _ = rng.multinomial(n, [worse, better, 1 - discordant])
        found += scipy.stats.binomtest(int(lost), int(lost + won)).pvalue < 0.05
    assert 0.70 < found / 400 < 0.88  # the exact test is a little conservative


def test_too_few_rows_can_show_nothing():
    assert math.isnan(minimum_detectable_effect(0, 0.25))
    assert math.isnan(minimum_detectable_effect(10, 0.1))
    assert math.isnan(minimum_detectable_effect(100, 0.0))


def test_pass_hat_k_counts_draws_that_pass_throughout():
    assert pass_hat_k(3, 4, 2) == 0.5
    assert pass_hat_k(1, 4, 2) == 0
    assert pass_hat_k(4, 4, 4) == 1
    with pytest.raises(ValueError, match="4 trials"):
        pass_hat_k(3, 3, 4)


def test_kappa_of_a_textbook_table():
    # 20 both yes, 5 and 10 split, 15 both no: observed 0.7, by chance 0.5.
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert kappa(*zip(*pairs, strict=True)) == pytest.approx(0.4)
    assert kappa([1, 0], [1, 0]) == 1
    assert math.isnan(kappa([1, 1], [1, 1]))
    assert math.isnan(kappa([], []))
