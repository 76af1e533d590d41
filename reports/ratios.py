"""Ratios of means over images with their intervals, from one joint draw of images."""

from __future__ import annotations

import functools

import numpy as np

from harness.statistics import bootstrap_weights


@functools.lru_cache(maxsize=2)
def _weights(n: int, draws: int, seed: int) -> np.ndarray:
    """Drawn once for a table of as many ratios as it has cells."""
    weights = bootstrap_weights(n, draws=draws, seed=seed) / n
    weights.flags.writeable = False
    return weights


def ratio_of_means(x: np.ndarray, y: np.ndarray, *, draws: int, seed: int) -> tuple[float, float, float]:
    """mean(x) / mean(y) over the images that both have, and its 95 % percentile interval.

    x, y : (N,) values of the same images; numerator and denominator see the same resamples, so what
        the two have in common cancels.  NaN where fewer than two images have both, or where mean(y)
        is not above zero in 97.5 % of the resamples: what may be zero divides nothing.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 2 or y.mean() <= 0:
        return (np.nan,) * 3
    weights = _weights(len(x), draws, seed)
    below = weights @ y
    if np.percentile(below, 2.5) <= 0:
        return (np.nan,) * 3
    low, high = np.percentile((weights @ x) / below, [2.5, 97.5])
    return float(x.mean() / y.mean()), float(low), float(high)
