"""Intervals and paired tests of scores that are no means over images, such as the mean voxel r.

Such a score comes with the contribution of every image, whose mean it is to first order in 1/N
(:mod:`harness.scoring.contributions`): intervals are those of a mean of contributions, and the test
flips the sign of an image's difference of contributions.

Percentiles of resampled scores, which were used before, covered 72 to 90 % of mean voxel R² and 82 to 92 % of
mean voxel r with 8 to 100 images of 20 correlated voxels, since these scores grow or shrink when images are
drawn twice; this covers 92 to 96 % (`tests/speed/coverage.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .bootstrap import DRAWS
from .intervals import LEVEL, Estimate, Interval, contributions, doubt
from .paired import PairedDifference, sign_flip_ps, tested
from .replicates import SeedSpread


def contributed_interval(value: float, parts: np.ndarray, *, level: float = LEVEL) -> Interval:
    """Interval of one score `value` over N images from their contributions, `parts` (N,)."""
    return contributed_intervals(np.array([[value]]), np.asarray(parts)[None, :, None], level=level)[0]


def contributed_intervals(
    values: np.ndarray,
    parts: np.ndarray,
    *,
    seeds: Sequence[Sequence[SeedSpread]] | None = None,
    level: float = LEVEL,
) -> tuple[Interval, ...]:
    """One interval for each of K columns.

    values : (S, K) of S subjects, whose mean it is of; parts : (S, N, K) contributions, NaN where a subject
    lacks an image.  NaN bounds for one image.  seeds : see :func:`.intervals.mean_intervals`.
    """
    spreads = [()] * parts.shape[2] if seeds is None else seeds
    return tuple(
        Interval(estimate.mean, *estimate.with_seeds(own).bounds(level), n, 0, doubt(parts[:, :, k]))
        for k, ((estimate, n), own) in enumerate(zip(_estimates(values, parts), spreads, strict=True))
    )


def contributed_differences(
    values: np.ndarray,
    parts: np.ndarray,
    *,
    seeds: Sequence[Sequence[SeedSpread]] | None = None,
    flips: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[PairedDifference, ...]:
    """Interval and tests of K differences, each given as one side's numbers less the other's.

    values and parts : as in :func:`contributed_intervals`; seeds and flips, sign patterns : see
    :func:`.paired.paired_differences`.
    """
    ps = sign_flip_ps(parts, draws=flips, seed=seed)
    return tested(_estimates(values, parts), ps, seeds, level)


def _estimates(values: np.ndarray, parts: np.ndarray) -> list[tuple[Estimate, int]]:
    """Of each column the estimate, with the scores as they are, and the number of images."""
    _, added, fewest = contributions(np.asarray(parts, np.float64))
    means = np.asarray(values, np.float64).mean(axis=0)
    return [
        (Estimate.of(float(mean), own, few - 1), len(own))
        for mean, own, few in zip(means, added, fewest, strict=True)
    ]
