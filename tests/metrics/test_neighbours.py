"""Scores of runs of neighbouring voxels."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.neighbours import means_of_runs, neighbours_mse, neighbours_r


def test_runs_are_even_and_hold_every_voxel_once():
    values = np.arange(2 * 11, dtype=float).reshape(2, 11)
    means = means_of_runs(values, 3)
    np.testing.assert_allclose(means[0], [values[0, :4].mean(), values[0, 4:7].mean(), values[0, 7:].mean()])
    assert means_of_runs(values, 30).shape == (2, 1)


def test_noise_that_neighbours_do_not_share_is_averaged_away():
    rng = np.random.default_rng(0)
    signal = np.repeat(rng.standard_normal((200, 6)), 10, axis=1)
    noisy = signal + 3 * rng.standard_normal(signal.shape)
    single = np.mean([np.corrcoef(signal[:, v], noisy[:, v])[0, 1] for v in range(60)])
    assert neighbours_r(signal, noisy, size=10) > single + 0.3
    assert neighbours_mse(signal, noisy, size=10) == pytest.approx(9 / 10, rel=0.1)
    assert neighbours_r(signal, signal, size=10) == pytest.approx(1)
    assert neighbours_r(np.zeros_like(signal), noisy, size=10) == 0
