"""Banded ridge equals himalaya's, and gives each voxel the band that drives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from harness.api import ConfigError, Responses, Split, Stimuli, SubjectData, VoxelSpace
from harness.encoders.banded import BandedEncoder, band_weights, dual_weights
from harness.solvers.ridge import fold_numbers

RNG = np.random.default_rng(0)
N, V = 90, 12
BANDS = {"small": RNG.standard_normal((N + 30, 5)), "long": RNG.standard_normal((N + 30, 40)) * 7 + 3}


@dataclass(frozen=True)
class Given:
    """Layers by the number in an image's id."""

    def layer(self, backbone, layer, stimuli):
        return BANDS[layer][[int(name) for name in stimuli.ids]].astype(np.float32)


def subject():
    """Half of the voxels are driven by each band."""
    drive = [band @ RNG.standard_normal((band.shape[1], V // 2)) for band in BANDS.values()]
    signal = np.concatenate([part / part.std(axis=0) for part in drive], axis=1)
    ids = [str(k) for k in range(N + 30)]
    space = VoxelSpace("toy", "toy01", "all", V, "zscore", "banded")
    values = signal + 0.5 * RNG.standard_normal(signal.shape)
    images = RNG.integers(0, 256, (N + 30, 4, 4, 3), dtype=np.uint8)
    parts = [
        Split(Stimuli.from_array(ids[at], images[at]), Responses.single(space, ids[at], values[at]))
        for at in (slice(0, N), slice(N, None))
    ]
    return SubjectData(space, *parts)


@pytest.fixture(scope="module")
def fitted():
    params = BandedEncoder.Params(
        backbone="given", layers=("small", "long"), alphas=(0.1, 1.0, 10.0, 100.0), draws=6, folds=3
    )
    data, encoder = subject(), BandedEncoder(params)
    encoder.fit([data.training()], Given(), seed=0, device="cpu", checkpoint_dir=None)
    return data, encoder


def test_equal_to_himalaya_with_the_same_draws_and_folds(fitted):
    from himalaya.backend import get_backend, set_backend
    from himalaya.kernel_ridge import MultipleKernelRidgeCV

    data, encoder = fitted
    _, model = encoder.models[data.space.sha]
    ids, test = data.train.stimuli.ids, data.test.stimuli.ids
    splits = fold_numbers(ids, 3, seed=0, contents=data.train.stimuli.image_hashes())
    cv = [(np.flatnonzero(splits != k), np.flatnonzero(splits == k)) for k in range(3)]
    scaled = []
    for band in BANDS.values():
        centred = band - band[:N].mean(axis=0)
        scaled.append(centred / np.sqrt((centred[:N] ** 2).mean()))
    kernels = np.stack([band[:N] @ band[:N].T for band in scaled])
    targets = data.train.responses.mean().astype(np.float64)
    before = get_backend().name
    set_backend("numpy")
    try:
        how = {"n_iter": band_weights(2, 6, 0), "alphas": np.array([0.1, 1, 10, 100]), "progress_bar": False}
        theirs = MultipleKernelRidgeCV("precomputed", solver_params=how, cv=cv)
        theirs.fit(kernels, targets - targets.mean(axis=0))
        expected = theirs.predict(np.stack([band[N:] @ band[:N].T for band in scaled])) + targets.mean(axis=0)
    finally:
        set_backend(before)
    seeds = np.zeros((len(test), 1), np.uint64)
    ours = encoder.predict(data.test.stimuli, Given(), space=data.space, seeds=seeds)[:, 0]
    assert np.abs(ours - expected).max() < 1e-4 * expected.std()
    assert np.allclose(model.strengths, np.exp(theirs.deltas_), rtol=1e-5)


def test_voxels_take_the_band_that_drives_them(fitted):
    data, encoder = fitted
    _, model = encoder.models[data.space.sha]
    shares = model.strengths / model.strengths.sum(axis=0)
    assert shares[0, : V // 2].mean() > 0.8
    assert shares[1, V // 2 :].mean() > 0.8
    assert model.scores[: V // 2].mean() > 0.5


def test_draws_lie_on_the_simplex_and_repeat():
    weights = band_weights(3, 5, 1)
    assert weights.shape == (9, 3)
    assert np.allclose(weights.sum(axis=1), 1)
    assert np.array_equal(weights[:3], np.eye(3))
    assert np.array_equal(weights, band_weights(3, 5, 1))
    assert not np.array_equal(weights[4:], band_weights(3, 5, 2)[4:])


def test_the_last_fit_solves_the_normal_equations():
    kernels = np.stack([band[:N] @ band[:N].T for band in BANDS.values()])
    targets = RNG.standard_normal((N, 3))
    strengths = np.array([[0.1, 0.2, 0.0], [0.3, 0.6, 0.5]])
    dual = dual_weights(kernels, targets, strengths)
    for k in range(3):
        matrix = np.tensordot(strengths[:, k], kernels, axes=1) + np.eye(N)
        assert np.allclose(matrix @ dual[:, k], targets[:, k], atol=1e-6)


def test_parameters_that_leave_nothing_to_choose_are_refused():
    for words, given in (
        ("layers is empty", {"layers": ()}),
        ("it must be at least 2", {"folds": 1, "alphas": (1.0,)}),
    ):
        with pytest.raises(ConfigError, match=words):
            BandedEncoder.Params(**given)
