"""Scores of stochastic encoders: are their samples spread as measured repeats are?

A sample and a mean answer different questions, so single samples enter no error against the measured
mean: that would punish an encoder for noise which it reproduces rightly.  The headline scores take the
mean over samples; here are the gain of that mean, and the distribution around it.
"""

from __future__ import annotations

import numpy as np

from ..nn.constancy import negligible
from .ceilings import by_image
from .encoding import voxel_r

Array = np.ndarray


def one_sample_r(samples: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(V,) correlation across images of a single sample, mean over the S of `samples` (N, S, V).

    Samples that not every image has are left out.
    """
    whole = np.flatnonzero(np.isfinite(samples).all(axis=(0, 2)))
    if not len(whole):
        return np.full(samples.shape[2], np.nan)
    return np.mean([voxel_r(samples[:, k], measured) for k in whole], axis=0)


def spread_ratio(samples: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """(V,) SD of `samples` (N, S, V) around their image's mean over that of `repeats` (N, R, V).

    Root of pooled unbiased variances; NaN rows are trials not there.  Below 1: less variable than
    single trials.  NaN where no image has two repeats or two samples, or repeats do not vary.
    """
    drawn, noise = _within(samples), _within(repeats)
    return np.sqrt(drawn / np.where(noise > 0, noise, np.nan))


def energy_distance(samples: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """(N,) energy distance of each image's samples (N, S, V) and repeats (N, R, V), unbiased.

    2 E|X - Y| - E|X - X'| - E|Y - Y'| (Szekely & Rizzo 2013, J. Stat. Plan. Inference 143), with
    |.| the root mean square over voxels and the last two means over distinct pairs: 0 in expectation,
    and below 0 as often as not, where both have the same distribution.  In units of the responses;
    NaN for an image with fewer than two of either.
    """
    values = np.full(len(samples), np.nan)
    for k, (x, y) in enumerate(zip(samples, repeats)):
        x, y = (np.asarray(side[np.isfinite(side).all(axis=1)], np.float64) for side in (x, y))
        if min(len(x), len(y)) < 2:
            continue
        between = np.mean([_rms(sample - y).mean() for sample in x])
        values[k] = 2 * between - _own_distance(x) - _own_distance(y)
    return values


def _own_distance(points: np.ndarray) -> float:
    """Mean distance of distinct rows of `points` (n, V)."""
    sums = [_rms(points[k + 1 :] - points[k]).sum() for k in range(len(points) - 1)]
    return float(np.sum(sums) * 2 / (len(points) * (len(points) - 1)))


def _rms(differences: np.ndarray) -> np.ndarray:
    return np.sqrt((differences**2).mean(axis=1))


def _within(values: np.ndarray) -> np.ndarray:
    """(V,) pooled unbiased variance within images of `values` (N, S, V); rounding counts as 0."""
    squares, size, freedom = np.zeros(values.shape[2]), np.zeros(values.shape[2]), 0
    for samples in values:
        exact = np.asarray(samples[np.isfinite(samples).all(axis=1)], np.float64)
        if len(exact) > 1:
            squares += ((exact - exact.mean(axis=0)) ** 2).sum(axis=0)
            size += (exact**2).sum(axis=0)
            freedom += len(exact) - 1
    if not freedom:
        return np.full(values.shape[2], np.nan)
    return np.where(negligible(np.sqrt(squares), np.sqrt(size)), 0.0, squares / freedom)


def voxel_r_of_samples(predicted: np.ndarray, measured: np.ndarray, *, samples: np.ndarray) -> np.ndarray:
    """(V,) :func:`one_sample_r` of `samples` (N, S, V)."""
    return one_sample_r(samples, measured)


def sample_spread(
    predicted: np.ndarray,
    measured: np.ndarray,
    *,
    samples: np.ndarray,
    trials: np.ndarray,
    image_index: np.ndarray,
) -> np.ndarray:
    """(V,) :func:`spread_ratio` of `samples` (N, S, V) and `trials` (T, V)."""
    return spread_ratio(samples, by_image(trials, image_index))


def sample_energy_distance(
    predicted: np.ndarray,
    measured: np.ndarray,
    *,
    samples: np.ndarray,
    trials: np.ndarray,
    image_index: np.ndarray,
) -> np.ndarray:
    """(N,) :func:`energy_distance` of `samples` (N, S, V) and `trials` (T, V)."""
    return energy_distance(samples, by_image(trials, image_index))
