"""Several subjects on one draw of images, and the p of intervals."""

import itertools

import numpy as np
import pytest
from scipy import stats

from harness.statistics import (
    bootstrap_weights,
    mean_intervals,
    paired_difference,
    paired_differences,
    sign_flip_ps,
)


def cube(subjects=3, n=40, columns=2, seed=0):
    """(S, N, K) values whose images are alike in all subjects, with gaps."""
    draw = np.random.default_rng(seed)
    values = draw.standard_normal((1, n, columns)) + 0.5 * draw.standard_normal((subjects, n, columns))
    values[0, 3, 0] = values[-1, : n // 8, -1] = np.nan
    return values


def test_the_spread_is_that_of_one_draw_of_images_for_all_subjects():
    values = cube()
    weights = bootstrap_weights(40, draws=4000, seed=4).astype(float)
    intervals = mean_intervals(values)
    for k, interval in enumerate(intervals):
        drawn = np.zeros(len(weights))
        for subject in values[:, :, k]:
            present = np.isfinite(subject)
            drawn += weights[:, present] @ subject[present] / weights[:, present].sum(axis=1) / len(values)
        width = 2 * drawn.std() * np.sqrt(40 / 39) * stats.t.ppf(0.975, 39)
        assert interval.high - interval.low == pytest.approx(width, rel=0.06)
        assert interval.mean == pytest.approx(
            np.mean([np.nanmean(of_subject) for of_subject in values[:, :, k]])
        )
        assert (interval.n, interval.missing) == (40, 0)


def test_subjects_that_share_images_are_no_more_images():
    """Four copies of a subject say nothing that one does not."""
    single = cube(1, columns=1, seed=2)
    assert mean_intervals(np.repeat(single, 4, axis=0))[0].low == pytest.approx(
        mean_intervals(single)[0].low, abs=1e-6
    )
    assert sign_flip_ps(np.repeat(single, 4, axis=0)) == pytest.approx(sign_flip_ps(single[0]))


def test_an_image_that_a_subject_lacks_counts_for_the_others():
    values = cube(2, n=6, columns=1)
    values[:, 5] = np.nan
    values[0, 4] = np.nan
    (interval,) = mean_intervals(values)
    assert (interval.n, interval.missing) == (5, 1)
    values[0] = np.nan
    (interval,) = mean_intervals(values)
    assert np.isnan([interval.mean, interval.low, interval.high]).all()
    assert np.isnan(sign_flip_ps(values)).all()


def test_labels_are_swapped_in_all_subjects_at_once():
    values = cube(3, n=7, columns=1, seed=5)[:, :, 0]
    values[2, 1] = np.nan
    statistic = np.mean([np.nanmean(subject) for subject in values])
    swapped = [
        abs(np.mean([np.nanmean(subject * signs) for subject in values])) >= abs(statistic) - 1e-12
        for signs in itertools.product((-1, 1), repeat=7)
    ]
    assert sign_flip_ps(values[:, :, None])[0] == np.mean(swapped)


def test_the_p_of_an_interval_belongs_to_it():
    draw = np.random.default_rng(0)
    for shift in np.linspace(0, 0.5, 12):
        values = draw.standard_normal((60, 1)) + shift
        (comparison,) = paired_differences(values, flips=1999)
        assert (comparison.p_t < 0.05) == (comparison.low > 0 or comparison.high < 0)
        assert comparison.p_t == pytest.approx(comparison.p, abs=0.06)
    far = paired_difference(np.ones(50) + 0.1 * draw.standard_normal(50), np.zeros(50))
    assert far.p_t < 1e-20
    assert paired_difference(np.ones(50), np.zeros(50)).p_t == 0


def test_the_p_of_an_interval_is_uniform_under_no_difference():
    draw = np.random.default_rng(0)
    for n in (6, 80):
        comparisons = paired_differences(draw.standard_normal((n, 600)), flips=99)
        p = np.array([comparison.p_t for comparison in comparisons])
        assert np.mean(p <= 0.05) < 0.085
        assert p.mean() == pytest.approx(0.5, abs=0.05)


def test_nothing_to_test_has_no_p():
    (comparison,) = paired_differences(np.array([[0.3]]))
    assert np.isnan(comparison.p_t)
    (none,) = paired_differences(np.zeros((30, 1)))
    assert (none.p, none.p_t) == (1, 1)
