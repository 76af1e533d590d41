"""Intervals and paired tests over images, with the subject held fixed.

The unit is one value per image and images are resampled; trials, seeds and voxels are averaged
before.  Intervals are percentile bootstrap intervals (Efron & Tibshirani 1993, ch. 13): they speak
of other images like these, for this subject and this fitted model.  Win rates of two-way
identification depend on one another through their pool; at chance the bootstrap over images is a
little too wide (SD 0.289 / sqrt(N), where about 0.25 / sqrt(N) is measured), never too narrow.

A missing value (NaN) leaves its image out of that column only, and is counted.  Everything is a
function of the values and the seed; a column's result does not depend on the other columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
LEVEL = 0.95
EXACT = 12  # up to here all 2^n sign patterns are enumerated
BLOCK = 1 << 20  # weights or signs held at once

# Streams of random numbers that share a seed but nothing else.
_BOOTSTRAP, _SIGN_FLIP = 1, 2


@dataclass(frozen=True)
class Interval:
    """A mean over `n` images with a bootstrap interval; `missing` images had no value.

    `low` and `high` are NaN where fewer than two images have a value, `mean` where none has.
    """

    mean: float
    low: float
    high: float
    n: int
    missing: int


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over the `n` images that have both, bootstrap interval, two-sided sign-flip p."""

    mean: float
    low: float
    high: float
    p: float
    n: int


def bootstrap_weights(n: int, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws, n) float32: how often each of n images is in each resample of n."""
    return np.concatenate([*_weight_blocks(n, draws, seed), np.empty((0, n), np.float32)])


def mean_interval(values: np.ndarray, *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL) -> Interval:
    """Interval of the mean of `values` (N,)."""
    return mean_intervals(np.asarray(values)[:, None], draws=draws, seed=seed, level=level)[0]


def mean_intervals(
    matrix: np.ndarray, *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> tuple[Interval, ...]:
    """One interval per column of `matrix` (N, K); all columns share the resamples."""
    matrix = np.asarray(matrix, np.float64)
    n, columns = matrix.shape
    known = np.isfinite(matrix)
    counts = known.sum(axis=0)
    means = np.array([_mean(matrix[known[:, k], k]) for k in range(columns)])
    # Deviations from the mean keep the precision of float32 products where values are nearly equal.
    deviations = np.where(known, matrix - means, 0.0).astype(np.float32)
    resampled = np.empty((columns, draws))
    at = 0
    for weights in _weight_blocks(n, draws, seed):
        here = slice(at, at + len(weights))
        for k in range(columns):  # column by column, so that none can touch another's last digit
            present = n if counts[k] == n else weights @ known[:, k].astype(np.float32)
            sums = weights @ np.ascontiguousarray(deviations[:, k])
            with np.errstate(invalid="ignore"):  # a resample of missing images only
                resampled[k, here] = sums / np.float64(present)
        at += len(weights)
    return tuple(
        Interval(
            float(means[k]),
            *_percentiles(resampled[k], means[k], counts[k], level),
            int(counts[k]),
            n - int(counts[k]),
        )
        for k in range(columns)
    )


def paired_difference(
    a: np.ndarray, b: np.ndarray, *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> PairedDifference:
    """Compare `a` and `b` (N,), values of the same images in the same order."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired values have shapes {a.shape} and {b.shape}; expected the same (N,)")
    difference = a - b
    difference = difference[np.isfinite(difference)]
    found = mean_interval(difference, draws=draws, seed=seed, level=level)
    p = sign_flip_p(difference, draws=draws, seed=seed)
    return PairedDifference(found.mean, found.low, found.high, p, found.n)


def sign_flip_p(differences: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> float:
    """:func:`sign_flip_ps` of one column (N,)."""
    return float(sign_flip_ps(np.asarray(differences)[:, None], draws=draws, seed=seed)[0])


def sign_flip_ps(matrix: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(K,) two-sided p of a zero mean when the sign of each difference, `matrix` (N, K), is arbitrary.

    Exact for up to 12 images; else from `draws` random patterns, shared by all columns, with the
    observed one counted among them (Phipson & Smyth 2010), so never below 1 / (draws + 1).  NaN is
    no difference; a column of nothing else has p NaN.
    """
    matrix = np.asarray(matrix, np.float64)
    known = np.isfinite(matrix)
    matrix = np.where(known, matrix, 0.0)  # a missing difference adds 0 under either sign
    n = len(matrix)
    # Patterns whose sum is equal in exact arithmetic may differ by rounding.
    bound = np.abs(matrix.sum(axis=0)) - 1e-12 * np.abs(matrix).sum(axis=0)
    if n <= EXACT:
        signs = 1.0 - 2.0 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)
        p = (np.abs(signs @ matrix) >= bound).mean(axis=0)
    else:
        generator = np.random.default_rng([_SIGN_FLIP, seed])
        extreme = np.ones(matrix.shape[1])
        for size in _block_sizes(n, draws):
            signs = generator.integers(0, 2, size=(size, n), dtype=np.int8).astype(np.float64)
            extreme += (np.abs((2.0 * signs - 1.0) @ matrix) >= bound).sum(axis=0)
        p = extreme / (draws + 1)
    return np.where(known.any(axis=0), p, np.nan)


def holm(pvalues: Sequence[float] | np.ndarray) -> np.ndarray:
    """Family-wise adjusted p-values (Holm 1979), in the order given; NaN is no member of the family."""
    pvalues = np.asarray(pvalues, np.float64)
    adjusted = np.full(pvalues.shape, np.nan)
    family = np.flatnonzero(~np.isnan(pvalues))
    order = family[np.argsort(pvalues[family], kind="stable")]
    scaled = pvalues[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _mean(values: np.ndarray) -> float:
    """Mean with one rounding of the sum, so that the order of images does not show."""
    return math.fsum(values) / len(values) if len(values) else float("nan")


def _percentiles(resampled: np.ndarray, mean: float, count: int, level: float) -> tuple[float, float]:
    if count < 2:
        return float("nan"), float("nan")
    tail = 50.0 * (1.0 - level)
    low, high = np.nanpercentile(resampled, [tail, 100.0 - tail]) + mean
    return float(low), float(high)


def _weight_blocks(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (b, n) of :func:`bootstrap_weights`, few enough rows to stay in the cache."""
    generator = np.random.default_rng([_BOOTSTRAP, seed])
    for size in _block_sizes(n, draws):
        drawn = generator.integers(0, n, size=(size, n)) if n else np.empty((size, 0), np.int64)
        cells = drawn + n * np.arange(size)[:, None]
        yield np.bincount(cells.ravel(), minlength=size * n).reshape(size, n).astype(np.float32)


def _block_sizes(n: int, draws: int) -> Iterator[int]:
    step = max(1, BLOCK // max(1, n))
    for start in range(0, draws, step):
        yield min(step, draws - start)
