"""Intervals and paired tests: equality with scipy, coverage, missing values, determinism."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.statistics import (
    bootstrap_weights,
    holm,
    mean_interval,
    mean_intervals,
    paired_difference,
    sign_flip_p,
)


def test_weights_count_draws_with_replacement():
    weights = bootstrap_weights(50, draws=4000, seed=0)
    assert weights.shape == (4000, 50)
    assert weights.dtype == np.float32
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.02)  # multinomial
    share_missing = (weights == 0).mean()
    assert share_missing == pytest.approx((1 - 1 / 50) ** 50, abs=0.005)


def test_the_interval_equals_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).gamma(2.0, size=80)
    found = mean_interval(values)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), abs=0.02)
    narrow = mean_interval(values, level=0.5)
    assert found.low < narrow.low < narrow.mean < narrow.high < found.high


def test_the_bounds_are_those_of_the_weights():
    values = np.random.default_rng(0).random(30)
    weights = bootstrap_weights(30, draws=500, seed=7).astype(float)
    low, high = np.percentile(weights @ values / 30, [2.5, 97.5])
    found = mean_interval(values, draws=500, seed=7)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_intervals_cover_as_often_as_they_say():
    generator = np.random.default_rng(0)
    found = mean_intervals(generator.exponential(size=(60, 400)), draws=600)
    covered = np.mean([interval.low < 1.0 < interval.high for interval in found])
    assert 0.89 < covered < 0.97


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), k=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_a_column_does_not_depend_on_the_others(seed, n, k):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((n, k))
    matrix[generator.random((n, k)) < 0.1] = np.nan
    found = mean_intervals(matrix, draws=200, seed=seed)
    order = generator.permutation(k)
    moved = mean_intervals(matrix[:, order], draws=200, seed=seed)
    assert repr(moved) == repr(tuple(found[i] for i in order))  # to the last digit, NaN included
    assert repr(mean_interval(matrix[:, 0], draws=200, seed=seed)) == repr(found[0])
    for interval in found:
        assert interval.n + interval.missing == n
        if interval.n > 1:
            assert interval.low <= interval.mean <= interval.high


def test_the_seed_decides_and_nothing_else():
    values = np.random.default_rng(0).random(100)
    assert mean_interval(values, seed=1) == mean_interval(values.copy(), seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)
    longer = np.stack([values, values[::-1]], axis=1)[:, ::-1]  # another memory layout
    assert mean_intervals(longer, seed=1)[1] == mean_interval(values, seed=1)


def test_missing_values_are_left_out_of_their_column_and_counted():
    values = np.random.default_rng(0).random(50)
    gaps = values.copy()
    gaps[[3, 10, 11]] = np.nan
    found = mean_interval(gaps)
    assert (found.n, found.missing) == (47, 3)
    complete = gaps[np.isfinite(gaps)]
    assert found.mean == pytest.approx(complete.mean(), rel=1e-14)
    alone = mean_interval(complete)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.01)
    assert np.isnan(mean_interval(np.full(4, np.nan)).mean)
    assert mean_interval(np.full(4, np.nan)).missing == 4


def test_one_image_has_a_mean_but_no_interval():
    one = mean_interval(np.array([0.25]))
    assert (one.mean, one.n, one.missing) == (0.25, 1, 0)
    assert np.isnan([one.low, one.high]).all()
    nothing = mean_interval(np.empty(0))
    assert nothing.n == 0
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()


def test_equal_values_have_an_interval_of_no_width():
    found = mean_interval(np.full(20, 1e6 + 0.1))
    assert found.low == found.mean == found.high
    assert found.mean == pytest.approx(1e6 + 0.1, rel=1e-15)


def test_nearly_equal_values_keep_their_precision():
    values = 1e6 + 1e-3 * np.random.default_rng(0).standard_normal(50)
    found, small = mean_interval(values), mean_interval(values - 1e6)
    assert (found.low - 1e6, found.high - 1e6) == pytest.approx((small.low, small.high), abs=1e-8)


def test_sign_flips_are_exact_for_few_images():
    differences = np.array([0.4, -0.1, 0.7, 0.2, 0.5, -0.3])
    sums = [
        abs(np.dot(signs, differences)) >= abs(differences.sum()) - 1e-12
        for signs in itertools.product((-1, 1), repeat=6)
    ]
    assert sign_flip_p(differences) == np.mean(sums)
    reference = stats.permutation_test(
        (differences, np.zeros(6)), lambda x, y: (x - y).mean(), permutation_type="samples"
    )
    assert sign_flip_p(differences) == pytest.approx(reference.pvalue)


def test_sign_flips_of_many_images_equal_the_t_test():
    generator = np.random.default_rng(0)
    for shift in (0.0, 0.1, 0.2):
        differences = generator.standard_normal(200) + shift
        expected = stats.ttest_1samp(differences, 0).pvalue
        assert sign_flip_p(differences) == pytest.approx(expected, abs=0.02)
    assert sign_flip_p(np.ones(200)) == 1 / 10_001  # the smallest that 10,000 draws can show


def test_sign_flip_p_is_uniform_under_no_difference():
    generator = np.random.default_rng(0)
    small = [sign_flip_p(generator.standard_normal(9)) for _ in range(300)]
    large = [sign_flip_p(generator.standard_normal(30), draws=300) for _ in range(300)]
    for pvalues in (small, large):
        assert np.mean(np.array(pvalues) <= 0.05) < 0.09
        assert np.mean(pvalues) == pytest.approx(0.5, abs=0.06)


def test_paired_differences_use_the_images_that_both_have():
    generator = np.random.default_rng(0)
    b = generator.standard_normal(100)
    a = b + 0.3 + 0.1 * generator.standard_normal(100)  # a small, consistent gain
    a[5], b[9] = np.nan, np.nan
    found = paired_difference(a, b)
    assert found.n == 98
    assert found.mean == pytest.approx(np.nanmean(a - b))
    assert 0.25 < found.low < found.mean < found.high < 0.35
    assert found.p < 0.001
    back = paired_difference(b, a)
    assert (back.mean, back.p) == pytest.approx((-found.mean, found.p))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low), abs=1e-6)
    apart = mean_interval(a)
    assert found.high - found.low < 0.3 * (apart.high - apart.low)  # pairing is what makes it sharp


def test_no_difference_has_p_one():
    same = np.random.default_rng(0).random(40)
    found = paired_difference(same, same)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert np.isnan(paired_difference(np.array([np.nan]), np.array([1.0])).p)
    assert paired_difference(np.array([2.0]), np.array([1.0])).p == 1.0
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(4,\); expected the same \(N,\)"):
        paired_difference(np.zeros(3), np.zeros(4))


def test_holm_follows_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).shape == (0,)
    with_gap = holm([0.01, np.nan, 0.03])
    assert np.isnan(with_gap[1])
    assert with_gap[[0, 2]] == pytest.approx([0.02, 0.03])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_holm_rejects_what_the_procedure_rejects(pvalues):
    adjusted = holm(pvalues)
    order = sorted(range(len(pvalues)), key=lambda k: pvalues[k])
    rejected = set()
    for rank, k in enumerate(order):  # stop at the first that fails its own threshold
        if pvalues[k] * (len(pvalues) - rank) > 0.05:
            break
        rejected.add(k)
    assert {k for k in range(len(pvalues)) if adjusted[k] <= 0.05} == rejected
    assert (adjusted >= np.array(pvalues)).all()
