"""Voxel scores from moments are those of the metrics themselves, for every weighting."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics import ceilings, encoding
from harness.metrics.moments import STATISTICS, Moments

N, K = 9, 6
METRICS = {
    "voxel-r@1": lambda x, y, c: encoding.voxel_r(x, y),
    "voxel-r2@1": lambda x, y, c: encoding.voxel_r2(x, y),
    "voxel-mse@1": lambda x, y, c: encoding.voxel_mse(x, y),
    "voxel-r2-nc@1": encoding.voxel_r2_nc,
    "voxel-r-nc@1": ceilings.voxel_r_nc,
}


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions and measurements (N, K) far from zero, one of each constant; ceilings, one of them 0."""
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((N, K)) + 30
    predicted = 0.5 * measured + rng.standard_normal((N, K))
    predicted[:, 1] = 4.0
    measured[:, 2] = 7.0
    return predicted, measured, np.array([0.5, 0.4, 0.3, 0.0, 0.2, 0.9])


def test_every_statistic_has_its_metric():
    assert STATISTICS.keys() == METRICS.keys()


@pytest.mark.parametrize("name", METRICS)
def test_of_resamples_as_the_metric_of_the_images_drawn(data, name):
    predicted, measured, ceiling = data
    counts = np.random.default_rng(1).multinomial(N, np.full(N, 1 / N), 5)
    moments = Moments.weighted(predicted, measured, counts / N)
    for line, drawn in zip(STATISTICS[name](moments, ceiling), counts):
        chosen = np.repeat(np.arange(N), drawn)
        expected = METRICS[name](predicted[chosen], measured[chosen], ceiling)
        np.testing.assert_allclose(line, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_of_all_but_one_as_the_metric_of_the_others(data, name):
    predicted, measured, ceiling = data
    lines = STATISTICS[name](Moments.leave_one_out(predicted, measured), ceiling)
    assert lines.shape == (N, K)
    for left_out in range(N):
        others = np.delete(np.arange(N), left_out)
        expected = METRICS[name](predicted[others], measured[others], ceiling)
        np.testing.assert_allclose(lines[left_out], expected, rtol=1e-7, atol=1e-9)


def test_a_weighting_in_which_a_voxel_is_constant_is_not_scored(data):
    """Two images of equal responses: what is left of the variance is rounding."""
    predicted, measured, _ = (np.array(part) for part in data)
    measured[1] = measured[0]
    weights = np.zeros((1, N))
    weights[0, :2] = 0.5
    moments = Moments.weighted(predicted, measured, weights)
    assert moments.y_flat.all()
    assert np.isnan(STATISTICS["voxel-r@1"](moments, None)).all()
    assert np.isfinite(STATISTICS["voxel-mse@1"](moments, None)).all()


@pytest.mark.parametrize("name", ["voxel-r2-nc@1", "voxel-r-nc@1"])
def test_without_a_ceiling_nothing_is_normalised(data, name):
    moments = Moments.leave_one_out(*data[:2])
    assert np.isnan(STATISTICS[name](moments, None)).all()
