"""Stacking weights and unique shares: equal to the package of the method's authors, and as they must be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import zscore
from stacking_fmri import stacking as package

from harness.errors import ConfigError
from harness.solvers.stacking import stacking_weights, unique_shares


def features(n: int = 120, voxels: int = 7):
    """Three feature spaces; voxels depend on the first, the second, both or none."""
    rng = np.random.default_rng(0)
    spaces = [rng.normal(size=(n, width)) for width in (4, 6, 3)]
    mixing = [rng.normal(size=(space.shape[1], voxels)) for space in spaces[:2]]
    share = np.linspace(0, 1, voxels)
    signal = share * (spaces[0] @ mixing[0]) + (1 - share) * (spaces[1] @ mixing[1])
    return spaces, signal + 0.5 * rng.normal(size=signal.shape)


def test_weights_and_predictions_equal_the_package():
    spaces, voxels = features()
    train, test = slice(0, 90), slice(90, None)
    result = package.stacking_fmri(
        voxels[train], voxels[test], [x[train] for x in spaces], [x[test] for x in spaces]
    )
    errors = np.stack(
        [package.feat_ridge_CV(zscore(x[train]), zscore(voxels[train]), zscore(x[test]))[1] for x in spaces]
    )
    np.testing.assert_allclose(stacking_weights(errors), result[-1], atol=1e-4)


def test_weights_are_shares_and_no_worse_than_any_single_prediction():
    errors = np.random.default_rng(1).normal(size=(4, 50, 9)) * np.array([1, 2, 3, 1.5])[:, None, None]
    weights = stacking_weights(errors)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    stacked = np.square(np.einsum("fnv,vf->nv", errors, weights)).mean(axis=0)
    assert (stacked <= np.square(errors).mean(axis=1).min(axis=0) * (1 + 1e-9)).all()


def test_equal_predictions_share_their_weight_and_add_nothing():
    error = np.random.default_rng(2).normal(size=(1, 60, 5))
    twice = np.concatenate([error, error])
    np.testing.assert_allclose(stacking_weights(twice).sum(axis=1), 1)
    whole, unique = unique_shares(twice, np.full(5, 4.0))
    assert (whole > 0.5).all()
    np.testing.assert_allclose(unique, 0, atol=1e-9)


def test_what_a_space_adds_is_unique_to_the_voxels_that_depend_on_it():
    spaces, voxels = features()
    errors = []
    for x in spaces:
        fitted = x[:60] @ np.linalg.lstsq(x[:60], voxels[:60], rcond=None)[0]
        assert fitted.shape == (60, voxels.shape[1])
        errors.append(voxels[60:] - x[60:] @ np.linalg.lstsq(x[:60], voxels[:60], rcond=None)[0])
    _, unique = unique_shares(np.stack(errors), voxels[60:].var(axis=0))
    assert unique[0, -1] > 0.5 > 0.1 > unique[0, 0]
    assert unique[1, 0] > 0.5 > 0.1 > unique[1, -1]
    assert (unique[2] < 0.1).all()


def test_too_many_predictions_are_refused():
    with pytest.raises(ConfigError, match="11 predictions cannot be stacked; expected 1 to 10"):
        stacking_weights(np.zeros((11, 3, 2)))
