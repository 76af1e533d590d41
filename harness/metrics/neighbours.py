"""Encoding scores of runs of consecutive voxels, averaged before they are scored.

What a cluster of neighbours has in common is measured with less noise than a voxel is, so that these are
higher than scores of voxels and compare with the same size of runs only.  CHASMBrain's first stage predicts
such clusters (arXiv 2606.04772), there of the largest 70 % of a cluster's voxels in each image.
"""

from __future__ import annotations

import numpy as np

from .encoding import voxel_mse, voxel_r


def neighbours_r(predicted: np.ndarray, measured: np.ndarray, *, size: int) -> np.ndarray:
    """() mean over runs of `size` voxels of the correlation across images of their means; (N, V) each.

    A run that does not vary counts as 0, one whose measurements do not, not at all.
    """
    values = voxel_r(means_of_runs(predicted, size), means_of_runs(measured, size))
    return np.nanmean(values) if np.isfinite(values).any() else np.asarray(np.nan)


def neighbours_mse(predicted: np.ndarray, measured: np.ndarray, *, size: int) -> np.ndarray:
    """() mean squared error of the means of runs of `size` voxels; (N, V) each."""
    return voxel_mse(means_of_runs(predicted, size), means_of_runs(measured, size)).mean()


def means_of_runs(values: np.ndarray, size: int) -> np.ndarray:
    """(N, V) -> (N, R) means of floor(V / size) runs, at least one, whose lengths differ by one at most."""
    bounds = np.linspace(0, values.shape[1], max(values.shape[1] // size, 1) + 1).round().astype(int)
    sums = np.add.reduceat(np.asarray(values, np.float64), bounds[:-1], axis=1)
    return sums / np.diff(bounds)
