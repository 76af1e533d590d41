"""Resamples of images: each holds as many as there are, drawn with replacement, the same for one seed."""

from __future__ import annotations

import numpy as np
import pytest

from harness.statistics import bootstrap
from harness.statistics.bootstrap import block_sizes, bootstrap_weights


@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_a_resample_has_as_many_images(n):
    weights = bootstrap_weights(n, draws=200, seed=3)
    assert weights.shape == (200, n)
    assert weights.dtype == np.float32
    assert (weights.sum(axis=1) == n).all()
    assert (weights == weights.astype(int)).all()


def test_counts_are_those_of_draws_with_replacement():
    """Mean 1, variance 1 - 1/n and covariance -1/n of a multinomial of n in n cells."""
    n, draws = 6, 20_000
    weights = bootstrap_weights(n, draws=draws, seed=0).astype(float)
    expected = np.full((n, n), -1 / n)
    np.fill_diagonal(expected, 1 - 1 / n)
    assert np.abs(weights.mean(axis=0) - 1).max() < 5 / np.sqrt(draws)
    assert np.abs(np.cov(weights.T) - expected).max() < 10 / np.sqrt(draws)


def test_no_image_gives_no_weight_and_no_draw_no_line():
    assert bootstrap_weights(0, draws=5).shape == (5, 0)
    assert bootstrap_weights(4, draws=0).shape == (0, 4)


def test_seeds_differ_and_repeat():
    first = bootstrap_weights(9, draws=50, seed=1)
    np.testing.assert_array_equal(first, bootstrap_weights(9, draws=50, seed=1))
    assert (first != bootstrap_weights(9, draws=50, seed=2)).any()


def test_blocks_change_nothing(monkeypatch):
    whole = bootstrap_weights(10, draws=100, seed=5)
    monkeypatch.setattr(bootstrap, "BLOCK", 70)
    assert list(block_sizes(10, 100)) == [7] * 14 + [2]
    np.testing.assert_array_equal(bootstrap_weights(10, draws=100, seed=5), whole)
