"""Intervals: equality with scipy, coverage, missing values, determinism."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from harness.statistics import (
    FEW_IMAGES,
    NEARLY_ALIKE,
    bootstrap_weights,
    doubt,
    mean_interval,
    mean_intervals,
    paired_difference,
    share_limits,
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


def skewness(values):
    """Sample skewness with the usual correction, over the root of n."""
    return stats.skew(values, bias=False) / np.sqrt(len(values)) if len(values) > 2 else 0.0


@pytest.mark.parametrize("n", [3, 5, 30])
def test_the_bounds_are_where_halls_transformation_meets_students_quantile(n):
    """Bounds and p, found by root finding on the published formula."""
    values = np.random.default_rng(n).gamma(1.5, size=n)
    k, error = skewness(values), values.std(ddof=1) / np.sqrt(n)

    def transformed(mean):
        t = (values.mean() - mean) / error
        return t + k * t**2 / 3 + k**2 * t**3 / 27 + k / 6

    interval, quantile = mean_interval(values), stats.t.ppf(0.975, n - 1)
    low = optimize.brentq(lambda m: transformed(m) - quantile, values.mean() - 50, values.mean())
    high = optimize.brentq(lambda m: transformed(m) + quantile, values.mean(), values.mean() + 50)
    assert (interval.low, interval.high) == pytest.approx((low, high))
    p = 2 * stats.t.sf(abs(transformed(0.0)), n - 1)
    assert paired_difference(values, np.zeros(n)).p_t == pytest.approx(p)


def test_without_skewness_it_is_students_interval():
    half = np.random.default_rng(0).random(15)
    values = np.concatenate([half, -half]) + 3.0
    interval, expected = mean_interval(values), stats.ttest_1samp(values, 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert mean_interval(values[:2]) != mean_interval(values[:3])  # two images have no skewness, but a t
    interval, two = mean_interval(values[:2]), stats.ttest_1samp(values[:2], 0).confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((two.low, two.high))


def test_many_images_have_the_interval_of_the_bootstrap():
    """scipy's BCa, and a studentised bootstrap written out, which differ from each other as much."""
    values = np.random.default_rng(0).gamma(2.0, size=200)
    interval = mean_interval(values)
    bca = stats.bootstrap((values,), np.mean, n_resamples=10_000, rng=np.random.default_rng(1))
    width = interval.high - interval.low
    bounds = bca.confidence_interval
    assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high), abs=0.06 * width)
    drawn = values[np.random.default_rng(2).integers(0, 200, (10_000, 200))]
    t = (drawn.mean(axis=1) - values.mean()) / (drawn.std(axis=1, ddof=1) / np.sqrt(200))
    high, low = values.mean() - np.percentile(t, [2.5, 97.5]) * values.std(ddof=1) / np.sqrt(200)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.03 * width)
    narrow = mean_interval(values, level=0.5)
    assert interval.low < narrow.low < narrow.mean < narrow.high < interval.high


# SD of a share of 600: 1 %.
COVERED = {
    "normal": (lambda draw, n: draw.standard_normal((n, 600)), 0.0, {2: 92, 5: 91, 12: 92, 30: 92}),
    "skewed": (lambda draw, n: draw.exponential(size=(n, 600)), 1.0, {5: 89, 12: 92, 30: 92, 100: 92}),
    "near a ceiling": (lambda draw, n: draw.beta(4, 0.3, (n, 600)), 4 / 4.3, {5: 86, 12: 91, 30: 92}),
}


@pytest.mark.parametrize("kind", COVERED)
def test_intervals_cover_as_often_as_they_say(kind):
    """Percentiles of a bootstrap: 50 % of normal values with 2, 84 % with 5, of the others 77 and 71 %."""
    make, truth, least = COVERED[kind]
    for n, percent in least.items():
        intervals = mean_intervals(make(np.random.default_rng(n), n))
        covered = 100 * np.mean([interval.low < truth < interval.high for interval in intervals])
        assert percent < covered < 99, (n, covered)
        assert all(interval.doubt for interval in intervals) == (n < 15)


def test_hits_have_the_interval_of_a_proportion():
    for hits, n in ((12, 12), (0, 12), (11, 12), (7, 30)):
        interval = mean_interval(np.arange(n) < hits, limits=(0.0, 1.0))
        expected = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
        assert interval.doubt == ""
    scaled = mean_interval(np.full(12, 3.0), limits=(1.0, 3.0))
    assert scaled.low == pytest.approx(1 + 2 * mean_interval(np.ones(12), limits=(0.0, 1.0)).low)


def test_no_bound_leaves_the_range_of_a_score():
    values = np.array([1.0, 0.98, 1.0, 0.7, 0.95])
    free, bounded = mean_interval(values), mean_interval(values, limits=(0.0, 1.0))
    assert free.high > 1 == bounded.high
    assert bounded.low == free.low
    assert share_limits(True, 0.5) == share_limits(True, 1 / 300) == (0, 1)
    assert share_limits(False, 0.5) is share_limits(True, None) is share_limits(True, 0.0) is None


def test_what_a_sample_cannot_show_is_said():
    draw = np.random.default_rng(0)
    assert mean_interval(draw.random(14)).doubt == FEW_IMAGES
    assert mean_interval(draw.random(15)).doubt == ""
    nearly = np.ones(40)
    nearly[:4] -= draw.random(4)
    assert mean_interval(nearly, limits=(0.0, 1.0)).doubt == NEARLY_ALIKE
    nearly[4] = 0.5
    assert mean_interval(nearly, limits=(0.0, 1.0)).doubt == ""
    assert doubt(np.full(40, 0.5)) == doubt(np.zeros(5)) == ""  # the same by construction
    gaps = draw.random(20)
    gaps[:9] = np.nan
    assert doubt(gaps) == FEW_IMAGES
    assert doubt(np.array([0.3, np.nan])) == ""  # one image has no interval to doubt


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), k=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_a_column_does_not_depend_on_the_others(seed, n, k):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((n, k))
    matrix[generator.random((n, k)) < 0.1] = np.nan
    intervals = mean_intervals(matrix)
    order = generator.permutation(k)
    moved = mean_intervals(matrix[:, order])
    assert repr(moved) == repr(tuple(intervals[i] for i in order))  # to the last digit, NaN included
    assert repr(mean_interval(matrix[:, 0])) == repr(intervals[0])
    for interval in intervals:
        assert interval.n + interval.missing == n
        if interval.n > 1:
            assert interval.low <= interval.mean <= interval.high


def test_layout_in_memory_decides_nothing():
    values = np.random.default_rng(0).random(100)
    longer = np.stack([values, values[::-1]], axis=1)[:, ::-1]
    assert mean_intervals(longer)[1] == mean_interval(values)


def test_missing_values_are_left_out_of_their_column_and_counted():
    values = np.random.default_rng(0).random(50)
    gaps = values.copy()
    gaps[[3, 10, 11]] = np.nan
    interval = mean_interval(gaps)
    assert (interval.n, interval.missing) == (47, 3)
    complete = gaps[np.isfinite(gaps)]
    assert interval.mean == pytest.approx(complete.mean(), rel=1e-14)
    alone = mean_interval(complete)
    assert (interval.low, interval.high) == pytest.approx((alone.low, alone.high), rel=1e-14)
    assert np.isnan(mean_interval(np.full(4, np.nan)).mean)
    assert mean_interval(np.full(4, np.nan)).missing == 4


def test_one_image_has_a_mean_but_no_interval():
    interval = mean_interval(np.array([0.25]))
    assert (interval.mean, interval.n, interval.missing) == (0.25, 1, 0)
    assert np.isnan([interval.low, interval.high]).all()
    nothing = mean_interval(np.empty(0))
    assert nothing.n == 0
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all()


def test_equal_values_have_an_interval_of_no_width():
    interval = mean_interval(np.full(20, 1e6 + 0.1))
    assert interval.low == interval.mean == interval.high
    assert interval.mean == pytest.approx(1e6 + 0.1, rel=1e-15)


def test_nearly_equal_values_keep_their_precision():
    values = 1e6 + 1e-3 * np.random.default_rng(0).standard_normal(50)
    large, small = mean_interval(values), mean_interval(values - 1e6)
    assert (large.low - 1e6, large.high - 1e6) == pytest.approx((small.low, small.high), abs=1e-8)
