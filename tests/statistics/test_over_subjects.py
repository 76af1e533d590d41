"""Intervals over subjects hold the mean of a population of subjects and images."""

from __future__ import annotations

import numpy as np
import pytest

from harness.statistics import mean_intervals, subjects_interval


def drawn(rng, subjects, images, *, between=1.0, crossed=True):
    shared = rng.normal(0, 1, images)
    cube = np.full((subjects, images if crossed else subjects * images), np.nan)
    for s in range(subjects):
        at = slice(None) if crossed else slice(s * images, (s + 1) * images)
        own = shared if crossed else rng.normal(0, 1, images)
        cube[s, at] = between * rng.normal() + own + rng.normal(0, 1, images)
    return cube


@pytest.mark.parametrize(("subjects", "crossed"), [(4, True), (8, True), (4, False)])
def test_the_mean_of_the_population_is_held(subjects, crossed):
    rng = np.random.default_rng(0)
    hits = narrow = 0
    for _ in range(400):
        cube = drawn(rng, subjects, 40, crossed=crossed)
        low, high = subjects_interval(cube)
        hits += low <= 0 <= high
        (fixed,) = mean_intervals(cube[:, :, None])
        narrow += fixed.low <= 0 <= fixed.high
    assert 0.92 <= hits / 400 <= 0.99
    assert narrow / 400 < 0.7, "with subjects held fixed it is no interval of a population"


def test_subjects_that_do_not_differ_add_nothing():
    cube = np.tile(np.random.default_rng(1).normal(0, 1, 30), (4, 1))
    (fixed,) = mean_intervals(cube[:, :, None])
    assert subjects_interval(cube) == pytest.approx((fixed.low, fixed.high))


def test_fewer_than_four_subjects_say_nothing_of_others():
    assert np.isnan(subjects_interval(np.random.default_rng(0).normal(size=(3, 20)))).all()
    missing = np.random.default_rng(0).normal(size=(4, 20))
    missing[2] = np.nan
    assert np.isnan(subjects_interval(missing)).all()


def test_scores_that_are_no_means_keep_their_value():
    cube = np.random.default_rng(3).normal(0.3, 1, (4, 30))
    values = np.nanmean(cube, axis=1) + 0.5
    low, high = subjects_interval(cube, values=values)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1)
