"""Noise of single trials: variance, serial correlation, drift, and that any subset draws the same."""

from __future__ import annotations

import numpy as np
import pytest

from harness.benchmarks.noise import NOISE_RANK, RUN, drift, white_noise

CARRY = 0.25


@pytest.fixture(scope="module")
def loadings() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(300, NOISE_RANK))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_neighbouring_trials_of_a_run_are_correlated(loadings: np.ndarray) -> None:
    noise = white_noise("toy", range(80 * RUN), 0, loadings, carry=CARRY).reshape(80, RUN, -1)
    assert noise.var() == pytest.approx(1.0, abs=0.01)
    assert noise[:, 0].var() == pytest.approx(1.0, abs=0.03)  # from the first trial of a run on
    for lag in (1, 2):
        assert (noise[:, lag:] * noise[:, :-lag]).mean() == pytest.approx(CARRY**lag, abs=0.01)
    between = (noise[1:, 0] * noise[:-1, -1]).mean()
    assert abs(between) < 0.03


def test_without_carry_trials_are_independent(loadings: np.ndarray) -> None:
    noise = white_noise("toy", range(1000), 0, loadings)
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.01


def test_drift_is_slow_and_has_no_mean_over_a_run(loadings: np.ndarray) -> None:
    slow = drift("toy", range(60 * RUN), 0, loadings).reshape(60, RUN, -1)
    assert slow.var() == pytest.approx(1.0, abs=0.06)
    assert np.abs(slow.mean(axis=1)).max() < 1e-12
    assert np.square(np.diff(slow, axis=1)).mean() < 0.1
    assert abs(np.corrcoef(slow[0].ravel(), slow[1].ravel())[0, 1]) < 0.5  # every run has its own


@pytest.mark.parametrize("carry", [0.0, CARRY])
def test_any_subset_draws_the_same_trials(loadings: np.ndarray, carry: float) -> None:
    indices = [3 * RUN + 4, 2, RUN - 1, 3 * RUN]
    every = white_noise("toy", range(4 * RUN), 1, loadings, carry=carry)
    assert np.allclose(white_noise("toy", indices, 1, loadings, carry=carry), every[indices], atol=1e-12)
    slow = drift("toy", range(4 * RUN), 1, loadings)
    assert np.allclose(drift("toy", indices, 1, loadings), slow[indices], atol=1e-12)


def test_repeats_are_independent(loadings: np.ndarray) -> None:
    first, second = (
        white_noise("toy", range(400), repeat, loadings, carry=CARRY)
        + drift("toy", range(400), repeat, loadings)
        for repeat in (0, 1)
    )
    assert abs((first * second).mean()) < 0.03
