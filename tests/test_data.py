"""Responses of a subject: what the mean over an image's trials is, whatever the order of trials."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from harness.data import IN_SEQUENCE, Responses, VoxelSpace

VOXELS = 5


def responses(counts: np.ndarray, order: np.ndarray, data: np.ndarray) -> Responses:
    """`counts` trials of each image, in the order that is given."""
    space = VoxelSpace("toy", "s1", "all", VOXELS, "zscore", "toy-voxels")
    index = np.repeat(np.arange(len(counts)), counts)[order]
    return Responses(space, [f"i{k}" for k in range(len(counts))], data, index)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize(
    "counts",
    [np.full(600, 1), np.full(600, 3), np.full(7, IN_SEQUENCE), np.full(7, IN_SEQUENCE + 3), [2, 1, 5, 3]],
    ids=["single", "three", "eight", "many", "uneven"],
)
def test_the_mean_over_trials_is_that_of_their_sums_in_order(tmp_path, counts, shuffled):
    """To the last bit: as numpy sums groups of rows, from memory as from a file, of more than a block."""
    counts = np.asarray(counts)
    rng = np.random.default_rng(3)
    order = rng.permutation(counts.sum()) if shuffled else np.arange(counts.sum())
    sizes = 10.0 ** rng.integers(-18, 18, (len(order), 1))
    data = (rng.normal(size=(len(order), VOXELS)) * sizes).astype(np.float32)
    index = np.repeat(np.arange(len(counts)), counts)[order]
    by_image = data[np.argsort(index, kind="stable")].astype(np.float64)
    sums = np.add.reduceat(by_image, np.cumsum(counts) - counts, axis=0)
    wanted = (sums / counts[:, None]).astype(np.float32)
    assert responses(counts, order, data).mean().tobytes() == wanted.tobytes()
    with h5py.File(tmp_path / "trials.h5", "w") as file:
        file["data"] = data
        assert responses(counts, order, file["data"]).mean().tobytes() == wanted.tobytes()
