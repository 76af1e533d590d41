"""Intervals and paired tests of scores that are no means over images, such as the mean voxel r.

Such a score comes with bootstrap draws, computed again from each resample of images, and with the
contribution of every image (:mod:`harness.stages.score_draws`).  Sides that share the draws of images
are compared draw by draw; the test flips the sign of an image's difference of contributions, which is
valid to the order in which the score is the mean of its contributions (first in 1/N).

Draws are moved to have the observed score as their median.  Squared correlations grow by their sampling
variance when they are resampled, so that the observed value may lie outside their percentiles; an
interval should speak of spread and not repeat that bias.  The median, since R² has no lower bound and
resamples of few images may throw a mean anywhere.
"""

from __future__ import annotations

import numpy as np

from .bootstrap import DRAWS, LEVEL, Interval, percentiles
from .paired import PairedDifference, beyond_zero, sign_flip_ps


def drawn_interval(value: float, draws: np.ndarray, n: int, *, level: float = LEVEL) -> Interval:
    """Interval of one score over `n` images from its `draws` (D,)."""
    return drawn_intervals(np.array([[value]]), np.asarray(draws)[None, None], [n], level=level)[0]


def drawn_intervals(
    values: np.ndarray, draws: np.ndarray, counts: list[int] | np.ndarray, *, level: float = LEVEL
) -> tuple[Interval, ...]:
    """One interval for each of K columns.

    values : (S, K) of S subjects; draws : (S, K, D); counts : (K,) images.  NaN bounds for one image.
    """
    means, deviations = _pooled(values, draws)
    return tuple(
        Interval(float(mean), *percentiles(one, mean, int(n), level), int(n), 0)
        for mean, one, n in zip(means, deviations, counts, strict=True)
    )


def drawn_differences(
    values: np.ndarray,
    draws: np.ndarray,
    contributions: np.ndarray,
    *,
    flips: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[PairedDifference, ...]:
    """Interval and tests of K differences, each given as one side's numbers less the other's.

    values : (S, K) of S subjects, whose mean is tested; draws : (S, K, D); contributions : (S, N, K),
    NaN where a subject lacks an image; flips : sign patterns, see :func:`.paired.paired_differences`.
    """
    means, deviations = _pooled(values, draws)
    counts = np.isfinite(contributions).any(axis=0).sum(axis=0)
    ps = sign_flip_ps(contributions, draws=flips, seed=seed)
    return tuple(
        PairedDifference(
            float(mean),
            *percentiles(one, mean, int(n), level),
            float(p),
            int(n),
            beyond_zero(one + mean) if n > 1 else float("nan"),
        )
        for mean, one, n, p in zip(means, deviations, counts, ps, strict=True)
    )


def _pooled(values: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) means over subjects and (K, D) their draws less the draws' median; NaN: nothing was drawn."""
    pooled = np.asarray(draws, np.float64).mean(axis=0)
    centres = [np.median(line[np.isfinite(line)]) if np.isfinite(line).any() else 0.0 for line in pooled]
    return np.asarray(values, np.float64).mean(axis=0), pooled - np.reshape(centres, (-1, 1))
