"""Percentile bootstrap of means over images, with the subjects held fixed.

Intervals are percentile intervals (Efron & Tibshirani 1993, ch. 13): they speak of other images like
these, for these subjects and fitted models.  One draw of images serves all columns and subjects: an
image is in a resample for everyone or for no one, so what is common to all cancels in differences.
With several subjects the statistic is the mean over subjects of each subject's mean.

A missing value (NaN) leaves its image out of that column and subject only, and is counted.
Everything is a function of the values and the seed; a column's result does not depend on the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
LEVEL = 0.95
BLOCK = 1 << 20  # weights or signs held at once

# Streams of random numbers that share a seed but nothing else.
BOOTSTRAP, SIGN_FLIP = 1, 2


@dataclass(frozen=True)
class Interval:
    """A mean over `n` images with a bootstrap interval; `missing` images had no value.

    `low` and `high` are NaN where fewer than two images have a value, `mean` where none has.  With
    several subjects an image counts when any has a value, and all need two.
    """

    mean: float
    low: float
    high: float
    n: int
    missing: int


@dataclass(frozen=True)
class Resampled:
    """Means (K,) of K columns and their resamples (K, draws) less the mean; NaN: nothing was drawn.

    counts : (K,) images with a value; fewest : (K,) in the subject that has the fewest.
    """

    means: np.ndarray
    deviations: np.ndarray
    counts: np.ndarray
    fewest: np.ndarray


def bootstrap_weights(n: int, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws, n) float32: how often each of n images is in each resample of n."""
    return np.concatenate([*_weight_blocks(n, draws, seed), np.empty((0, n), np.float32)])


def mean_interval(
    values: np.ndarray,
    *,
    rivalry: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Interval of the mean of `values` (N,); see :func:`mean_intervals`."""
    return mean_intervals(
        np.asarray(values)[:, None],
        rivalry=None if rivalry is None else np.asarray(rivalry)[:, None],
        draws=draws,
        seed=seed,
        level=level,
    )[0]


def mean_intervals(
    matrix: np.ndarray,
    *,
    rivalry: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[Interval, ...]:
    """One interval per column of `matrix`, (N, K) or for S subjects (S, N, K); all share the resamples.

    rivalry : like `matrix`; what each image does to the others' values (:mod:`.pairs`).  It moves
        the bounds, within the range of the values, and leaves the means.
    """
    found = resample(matrix, rivalry=rivalry, draws=draws, seed=seed)
    images = np.shape(matrix)[-2]
    return tuple(
        Interval(float(mean), *percentiles(deviations, mean, fewest, level), int(count), images - int(count))
        for mean, deviations, count, fewest in zip(
            found.means, found.deviations, found.counts, found.fewest, strict=True
        )
    )


def resample(
    matrix: np.ndarray, *, rivalry: np.ndarray | None = None, draws: int = DRAWS, seed: int = 0
) -> Resampled:
    """Bootstrap means of the columns of `matrix`, (N, K) or (S, N, K)."""
    cube = _cube(matrix)
    subjects, n, columns = cube.shape
    known = np.isfinite(cube)
    counts = known.sum(axis=1)  # (S, K)
    means = np.array([[_mean(cube[s, known[s, :, k], k]) for k in range(columns)] for s in range(subjects)])
    # Deviations from the mean keep the precision of float32 products where values are nearly equal.
    deviations = cube - means[:, None]
    spread = np.where(known, deviations, 0.0)
    lowest, highest = spread.min(axis=1, initial=0.0), spread.max(axis=1, initial=0.0)  # (S, K)
    if rivalry is not None:
        others = np.where(known, _cube(rivalry), 0.0)
        deviations = deviations + others - (others.sum(axis=1) / np.maximum(counts, 1))[:, None]
    deviations = np.where(known, deviations, 0.0).astype(np.float32)
    resampled = np.zeros((columns, draws))
    at = 0
    for weights in _weight_blocks(n, draws, seed):
        here = slice(at, at + len(weights))
        for s in range(subjects):
            for k in range(columns):  # column by column, so that none can touch another's last digit
                present = n if counts[s, k] == n else weights @ known[s, :, k].astype(np.float32)
                sums = weights @ np.ascontiguousarray(deviations[s, :, k])
                with np.errstate(invalid="ignore"):  # a resample of missing images only
                    drawn = sums / np.float64(present)
                if rivalry is not None:  # values plus rivalry may leave the range that values have
                    drawn = np.clip(drawn, lowest[s, k], highest[s, k])
                resampled[k, here] += drawn
        at += len(weights)
    return Resampled(
        means.sum(axis=0) / subjects, resampled / subjects, known.any(axis=0).sum(axis=0), counts.min(axis=0)
    )


def percentiles(deviations: np.ndarray, mean: float, count: int, level: float) -> tuple[float, float]:
    """Bounds of the central `level` of ``mean + deviations``; NaN for a `count` below two."""
    if count < 2:
        return float("nan"), float("nan")
    tail = 50.0 * (1.0 - level)
    low, high = np.nanpercentile(deviations, [tail, 100.0 - tail]) + mean
    return float(low), float(high)


def block_sizes(n: int, draws: int) -> Iterator[int]:
    """Rows of n numbers, `draws` in all, few enough at once to stay in the cache."""
    step = max(1, BLOCK // max(1, n))
    for start in range(0, draws, step):
        yield min(step, draws - start)


def _cube(matrix: np.ndarray) -> np.ndarray:
    """(S, N, K) float64."""
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim not in (2, 3):
        raise ValueError(f"values have shape {matrix.shape}; expected (images, columns), subjects before")
    return matrix if matrix.ndim == 3 else matrix[None]


def _mean(values: np.ndarray) -> float:
    """Mean with one rounding of the sum, so that the order of images does not show."""
    return math.fsum(values) / len(values) if len(values) else float("nan")


def _weight_blocks(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (b, n) of :func:`bootstrap_weights`."""
    generator = np.random.default_rng([BOOTSTRAP, seed])
    for size in block_sizes(n, draws):
        drawn = generator.integers(0, n, size=(size, n)) if n else np.empty((size, 0), np.int64)
        cells = drawn + n * np.arange(size)[:, None]
        yield np.bincount(cells.ravel(), minlength=size * n).reshape(size, n).astype(np.float32)
