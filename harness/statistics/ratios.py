"""Ratios of means over the same images, with Fieller's interval (Fieller 1954, J. R. Statist. Soc. B 16).

The interval holds the ratios q for which Student's test does not tell the mean of x - q y from 0.  Where the
denominator is itself not above 0 that set has no end, and there is no interval and no ratio.
"""

from __future__ import annotations

import math

import numpy as np

from .intervals import LEVEL


def ratio_of_means(x: np.ndarray, y: np.ndarray, *, level: float = LEVEL) -> tuple[float, float, float]:
    """mean(x) / mean(y) over the images that both have, and its interval.

    x, y : (N,) values of the same images, so that what the two have in common cancels.  NaN where fewer than
        two images have both, or where mean(y) is not above zero by its own interval of this `level`: what may
        be zero divides nothing.
    """
    from scipy.special import stdtrit

    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, np.float64)[both], np.asarray(y, np.float64)[both]
    n = len(x)
    if n < 2 or y.mean() <= 0:
        return (math.nan,) * 3
    factor = float(stdtrit(n - 1, 0.5 + level / 2)) ** 2 / n
    xx, xy, yy = factor * np.cov(x, y)[[0, 0, 1], [0, 1, 1]]
    a, b, c = y.mean() ** 2 - yy, x.mean() * y.mean() - xy, x.mean() ** 2 - xx
    if a <= 0:
        return (math.nan,) * 3
    root = math.sqrt(max(b**2 - a * c, 0.0))
    return float(x.mean() / y.mean()), float((b - root) / a), float((b + root) / a)
