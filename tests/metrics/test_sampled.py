"""Scores of samples: equality with explicit loops and scipy; unbiased where two laws are equal."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from harness.metrics import sampled
from harness.metrics.encoding import voxel_r

N, S, R, V = 30, 5, 3, 8


@pytest.fixture
def data():
    generator = np.random.default_rng(0)
    truth = generator.standard_normal((N, 1, V))
    samples = 0.8 * truth + 0.3 * generator.standard_normal((N, S, V))
    repeats = truth + generator.standard_normal((N, R, V))
    return samples.astype(np.float32), repeats


def test_energy_distance_is_that_of_its_definition(data):
    samples, repeats = data
    expected = []
    for x, y in zip(samples.astype(float), repeats):
        between = cdist(x, y).mean()
        expected.append((2 * between - pdist(x).mean() - pdist(y).mean()) / np.sqrt(V))
    np.testing.assert_allclose(sampled.energy_distance(samples, repeats), expected)


def test_energy_distance_of_equal_laws_is_0_on_average_and_grows_with_either_flaw():
    generator = np.random.default_rng(0)
    repeats = generator.standard_normal((2000, 3, 10))

    def mean(samples):
        values = sampled.energy_distance(samples, repeats)
        return values.mean(), 4 * values.std() / np.sqrt(len(values))

    same = generator.standard_normal((2000, 4, 10))
    value, width = mean(same)
    assert abs(value) < width
    for flawed in (0.3 * same, 2 * same, same + 0.7):
        value, width = mean(flawed)
        assert value > width


def test_spread_is_the_ratio_of_pooled_standard_deviations(data):
    samples, repeats = data
    expected = np.sqrt(samples.astype(float).var(axis=1, ddof=1).mean(axis=0))
    expected /= np.sqrt(repeats.var(axis=1, ddof=1).mean(axis=0))
    np.testing.assert_allclose(sampled.spread_ratio(samples, repeats), expected, rtol=1e-6)
    assert expected.mean() == pytest.approx(0.3, abs=0.05)


def test_unequal_repeats_count_as_many_as_there_are(data):
    samples, repeats = data
    repeats[:10, 2] = np.nan
    repeats[0, 1] = np.nan  # one trial only
    squares = [((y - y.mean(axis=0)) ** 2).sum(axis=0) for y in (r[np.isfinite(r[:, 0])] for r in repeats)]
    noise = np.sum(squares, axis=0) / (20 * 2 + 9)
    drawn = samples.astype(float).var(axis=1, ddof=1).mean(axis=0)
    np.testing.assert_allclose(sampled.spread_ratio(samples, repeats), np.sqrt(drawn / noise), rtol=1e-6)
    distance = sampled.energy_distance(samples, repeats)
    assert np.flatnonzero(np.isnan(distance)).tolist() == [0]
    x, y = samples[3].astype(float), repeats[3, :2]
    expected = (2 * cdist(x, y).mean() - pdist(x).mean() - pdist(y).mean()) / np.sqrt(V)
    assert distance[3] == pytest.approx(expected)


def test_one_sample_correlates_less_than_the_mean_of_all(data):
    samples, repeats = data
    measured = repeats.mean(axis=1)
    expected = np.mean([voxel_r(samples[:, k], measured) for k in range(S)], axis=0)
    r = sampled.one_sample_r(samples, measured)
    np.testing.assert_allclose(r, expected)
    assert r.mean() < voxel_r(samples.mean(axis=1), measured).mean()
    samples[4, 3:] = np.nan  # an image with three samples: the others' later ones are left out
    expected = np.mean([voxel_r(samples[:, k], measured) for k in range(3)], axis=0)
    np.testing.assert_allclose(sampled.one_sample_r(samples, measured), expected)


def test_nothing_to_compare_is_nan(data):
    samples, repeats = data
    assert np.isnan(sampled.energy_distance(samples[:, :1], repeats)).all()
    assert np.isnan(sampled.spread_ratio(samples, repeats[:, :1])).all()
    assert np.isnan(sampled.spread_ratio(samples, np.repeat(repeats[:, :1], 3, axis=1))).all()
    assert np.array_equal(sampled.spread_ratio(np.ones_like(samples), repeats), np.zeros(V))
