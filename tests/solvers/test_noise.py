"""A noise model from few residuals, and units in which that noise is white."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from harness.errors import DataError
from harness.solvers.noise import Noise


def residuals(n: int, width: int = 12, seed: int = 0) -> np.ndarray:
    """(n, width) correlated noise of unequal sizes around 0."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((width, width)) + 2 * np.eye(width)
    return rng.standard_normal((n, width)) @ mixing * rng.uniform(0.1, 10, width)


def covariance(noise: Noise) -> np.ndarray:
    """(U, U) as the class defines it, written out."""
    correlations = (noise.axes.T * noise.variances) @ noise.axes
    a = noise.shrinkage
    return np.diag(noise.sd) @ ((1 - a) * correlations + a * np.eye(len(noise.sd))) @ np.diag(noise.sd)


@pytest.mark.parametrize("n", [5, 12, 200])
def test_the_covariance_is_ledoit_and_wolfs_of_standardised_residuals(n):
    given = residuals(n)
    noise = Noise.fit(given)
    expected, shrinkage = ledoit_wolf(given / noise.sd, assume_centered=True)
    assert noise.shrinkage == pytest.approx(shrinkage, abs=1e-9)
    np.testing.assert_allclose(covariance(noise), np.outer(noise.sd, noise.sd) * expected, rtol=1e-8)


@pytest.mark.parametrize("n", [5, 200])
def test_squared_distances_of_whitened_patterns_are_mahalanobis(n):
    noise = Noise.fit(residuals(n))
    patterns = residuals(3, seed=1)
    inverse = np.linalg.inv(covariance(noise))
    expected = np.einsum("nu,uv,nv->n", patterns, inverse, patterns)
    np.testing.assert_allclose((noise.whiten(patterns) ** 2).sum(axis=1), expected, rtol=1e-8)


def test_a_voxel_without_residuals_has_unit_variance():
    given = residuals(30)
    given[:, 4] = 0
    noise = Noise.fit(given)
    assert noise.sd[4] == 1
    assert np.isfinite(noise.whiten(given)).all()


def test_what_is_saved_whitens_alike_and_a_damaged_file_is_one_line(tmp_path):
    noise = Noise.fit(residuals(8))
    file = tmp_path / "noise.safetensors"
    noise.save(file)
    np.testing.assert_array_equal(Noise.load(file).whiten(residuals(2)), noise.whiten(residuals(2)))
    file.write_bytes(b"torn")
    with pytest.raises(DataError, match="holds no noise model") as refused:
        Noise.load(file)
    assert "\n" not in str(refused.value)
