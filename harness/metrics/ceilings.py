"""Noise ceilings from repeated trials, where no ncsnr is known, and what they say of other scores.

With signal variance s and noise variance e of a single trial, a mean over n_i trials of image i has
variance s + e mean(1/n_i) over images, of which a model can explain the share
NC = s / (s + e mean(1/n_i)); r can reach sqrt(NC) and a noiseless prediction keeps the error
e mean(1/n_i) = (1 - NC) x variance (Allen et al. 2022, doi 10.1038/s41593-021-00962-x; mean(1/n) for
unequal repeats as in Algonauts 2023).  From ncsnr = sqrt(s / e) it is
:meth:`harness.data.VoxelSpace.noise_ceiling`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..api import DataError
from .encoding import voxel_mse, voxel_r

Array = np.ndarray


def ceiling_from_repeats(repeats: np.ndarray) -> np.ndarray:
    """(V,) NC of the mean over an image's trials, from `repeats` (N, R, V), NaN where not measured.

    The noise e is the pooled unbiased variance within images and s the variance of image means less
    e mean(1/n_i), the estimators of a one-way random-effects analysis of variance with unequal
    groups (Searle, Casella & McCulloch 1992, ch. 3).  Not below 0; NaN where no image has two
    trials and where the means do not vary.
    """
    repeats = np.asarray(repeats, np.float64)
    if repeats.ndim != 3:
        raise DataError(f"repeats have shape {repeats.shape}; expected (images, repeats, voxels)")
    there = np.isfinite(repeats)
    counts = there.sum(axis=1)  # (N, V)
    if len(repeats) < 2 or (counts == 0).any() or not (counts > 1).any():
        return np.full(repeats.shape[2], np.nan)
    means = np.where(there, repeats, 0.0).sum(axis=1) / counts
    within = (np.where(there, repeats - means[:, None], 0.0) ** 2).sum(axis=(0, 1))
    noise = within / (counts - 1).sum(axis=0)
    varies = means.var(axis=0, ddof=1)
    share = noise * (1.0 / counts).mean(axis=0) / np.where(varies > 0, varies, np.nan)
    return np.clip(1.0 - share, 0.0, 1.0)


def split_half_ceiling(repeats: np.ndarray) -> np.ndarray:
    """(V,) reliability of the mean over R trials: mean over all ways to halve them; `repeats` (N, R, V).

    Halves of k and m trials correlate by r = 1 / sqrt((1 + x/k) (1 + x/m)) with x = e / s; solved for
    x, the mean of all R has reliability 1 / (1 + x/R).  For k = m this is Spearman and Brown's
    2 r / (1 + r).  0 where r is not positive; every image needs the same number of trials, 2 or more.
    """
    repeats = np.asarray(repeats, np.float64)
    n, r_count = repeats.shape[:2]
    if r_count < 2 or not np.isfinite(repeats).all():
        raise DataError(
            f"split halves need the same number of trials for each of the {n} images, two or more; "
            "for unequal repeats use ceiling_from_repeats"
        )
    small = r_count // 2
    halves = [h for h in combinations(range(r_count), small) if 2 * small != r_count or 0 in h]
    total = np.zeros(repeats.shape[2])
    for first in halves:
        rest = [k for k in range(r_count) if k not in first]
        r = voxel_r(repeats[:, list(first)].mean(axis=1), repeats[:, rest].mean(axis=1))
        total += _lengthened(r, len(first), len(rest))
    return total / len(halves)


def _lengthened(r: np.ndarray, k: int, m: int) -> np.ndarray:
    """Reliability of k + m trials whose parts of k and m correlate by `r`."""
    r = np.maximum(np.where(np.isnan(r), 0.0, r), 0.0)
    positive = np.where(r > 0, r, 1.0)
    ends = 1 / k + 1 / m
    x = k * m / 2 * (np.sqrt(ends**2 - 4 / (k * m) * (1 - 1 / positive**2)) - ends)
    return np.where(r > 0, 1.0 / (1.0 + x / (k + m)), 0.0)


def by_image(trials: np.ndarray, image_index: np.ndarray) -> np.ndarray:
    """(N, R, V) `trials` (T, V) of each image in their order; NaN where an image has fewer than R."""
    counts = np.bincount(image_index)
    order = np.argsort(image_index, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    out = np.full((len(counts), int(counts.max(initial=0)), trials.shape[1]), np.nan)
    out[image_index, rank] = trials
    return out


def voxel_r_nc(predicted: np.ndarray, measured: np.ndarray, ceiling: np.ndarray | None) -> np.ndarray:
    """(V,) r / sqrt(ceiling): the share of the highest r there can be, sign and excess kept."""
    if ceiling is None:
        return np.full(predicted.shape[1], np.nan)
    ceiling = np.asarray(ceiling, np.float64)
    return voxel_r(predicted, measured) / np.sqrt(np.where(ceiling > 0, ceiling, np.nan))


def measured_floor(measured: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    """(V,) mean squared error that the noiseless truth would keep: (1 - ceiling) x variance.

    Estimated from `measured` (N, V) itself, so in whatever units it has.
    """
    if len(measured) < 2:
        return np.full(measured.shape[1], np.nan)
    return (1.0 - np.asarray(ceiling, np.float64)) * measured.var(axis=0, ddof=1, dtype=np.float64)


def mse_explained(
    predicted: np.ndarray, measured: np.ndarray, *, baseline: np.ndarray, ceiling: np.ndarray | None
) -> float:
    """Share of the removable squared error that was removed: 0 for the training mean, 1 at the floor.

    (M0 - M) / (M0 - F) with sums over voxels of the error M, the error M0 of predicting `baseline`
    (V,) and the floor F of :func:`measured_floor`.  Below 0 for a prediction worse than that
    constant; NaN without a ceiling, for N < 2, and where F is no less than M0.
    """
    if ceiling is None:
        return float("nan")
    blind = voxel_mse(np.broadcast_to(baseline, measured.shape), measured)
    error, floor = voxel_mse(predicted, measured), measured_floor(measured, ceiling)
    finite = np.isfinite(blind) & np.isfinite(error) & np.isfinite(floor)
    removable = blind[finite].sum() - floor[finite].sum()
    return float((blind[finite] - error[finite]).sum() / removable) if removable > 0 else float("nan")
