"""Seeds as replicates: against the mixed model written out, and in simulations of equal systems."""

import numpy as np
import pytest
from scipy import stats

from harness.statistics import (
    contributed_differences,
    mean_intervals,
    mean_over_seeds,
    paired_differences,
    seed_spread,
)


def system(draw, *, seeds=3, images=60, between=0.5, shared=None):
    """(seeds, images) of the crossed random model with the SD `between` of seeds."""
    shared = draw.standard_normal(images) if shared is None else shared
    return between * draw.standard_normal((seeds, 1)) + shared + 0.3 * draw.standard_normal((seeds, images))


def test_spreads_are_the_mean_squares_of_the_crossed_model():
    values = system(np.random.default_rng(0), seeds=4, images=25)
    spread = seed_spread(values)
    grand, rows, columns = values.mean(), values.mean(axis=1), values.mean(axis=0)
    between = 25 * ((rows - grand) ** 2).sum() / 3
    rest = sum((values[r, i] - rows[r] - columns[i] + grand) ** 2 for r in range(4) for i in range(25)) / 72
    assert spread.between == pytest.approx(between / 100)
    assert spread.rest == pytest.approx(rest / 100)
    images = 4 * ((columns - grand) ** 2).sum() / 24
    (interval,) = mean_intervals(columns[:, None], seeds=[[spread]])
    variance = (images + between - rest) / 100
    freedom = variance**2 / ((images / 100) ** 2 / 24 + (between / 100) ** 2 / 3 + (rest / 100) ** 2 / 72)
    # Skewness of the images apart, Student's interval with Satterthwaite's degrees of freedom.
    symmetric = np.concatenate([columns - grand, grand - columns])
    (even,) = mean_intervals(symmetric[:, None], seeds=[[]])
    assert even.mean == pytest.approx(0)
    width = 2 * stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert interval.high - interval.low == pytest.approx(width, rel=0.03)


def test_one_seed_adds_nothing_and_seeds_never_make_a_mean_surer():
    draw = np.random.default_rng(1)
    assert seed_spread(draw.random((1, 20))) is None
    assert seed_spread(draw.random((3, 1))) is None
    for _ in range(20):
        spread = seed_spread(draw.standard_normal((3, 40)))  # seeds differ by noise of single images only
        assert spread.variance >= 0
    same = np.tile(draw.random(30), (3, 1))
    (alone,) = mean_intervals(same[0][:, None])
    (interval,) = mean_intervals(mean_over_seeds(same)[:, None], seeds=[[seed_spread(same)]])
    assert (interval.low, interval.high) == pytest.approx((alone.low, alone.high))


def test_missing_values_leave_their_image_out_of_the_spread():
    values = system(np.random.default_rng(2))
    gaps = values.copy()
    gaps[1, 5] = np.nan
    assert seed_spread(gaps) == seed_spread(np.delete(values, 5, axis=1))
    mean = mean_over_seeds(gaps)
    assert mean[5] == pytest.approx(values[[0, 2], 5].mean())
    gaps[:, 7] = np.nan
    assert np.isnan(mean_over_seeds(gaps)[7])


@pytest.mark.parametrize("between", [0.0, 0.2, 1.0])
def test_equal_systems_are_rarely_told_apart(between):
    """Images alone find a difference between seeds of one system nearly always where seeds differ."""
    draw, columns = np.random.default_rng(3), 300
    firsts, seconds = [], []
    for _ in range(columns):
        shared = draw.standard_normal(60)
        firsts.append(system(draw, between=between, shared=shared))
        seconds.append(system(draw, between=between, shared=shared))
    differences = np.stack([mean_over_seeds(a) - mean_over_seeds(b) for a, b in zip(firsts, seconds)], axis=1)
    spreads = [[seed_spread(a), seed_spread(b)] for a, b in zip(firsts, seconds)]
    judged = paired_differences(differences, seeds=spreads, flips=199)
    naive = paired_differences(differences, flips=199)
    # SD of a share of 300 that is 5 %: 1.3 %.
    assert np.mean([comparison.p <= 0.05 for comparison in judged]) < 0.09
    for comparison in judged:
        assert comparison.p == comparison.p_t
        assert (comparison.p < 0.05) == (comparison.low > 0 or comparison.high < 0)
    if between:
        assert np.mean([comparison.p <= 0.05 for comparison in naive]) > 0.5
    parts = contributed_differences(
        differences.mean(axis=0)[None], differences[None], seeds=spreads, flips=199
    )
    assert [comparison.p for comparison in parts] == pytest.approx([comparison.p for comparison in judged])


def test_a_better_system_is_found_beyond_the_spread_of_its_seeds():
    draw = np.random.default_rng(4)
    shared = draw.standard_normal(60)
    a, b = (system(draw, seeds=5, between=0.1, shared=shared + shift) for shift in (1.0, 0.0))
    difference = mean_over_seeds(a) - mean_over_seeds(b)
    (comparison,) = paired_differences(difference[:, None], seeds=[[seed_spread(a), seed_spread(b)]])
    (naive,) = paired_differences(difference[:, None])
    assert comparison.p < 0.001
    assert naive.low - naive.high > comparison.low - comparison.high  # and its interval is longer
