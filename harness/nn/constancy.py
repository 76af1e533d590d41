"""One rule of what is constant: an SD of at most 1e-6 of the root mean square.

A voxel, a feature or a pattern that takes two neighbouring float32 numbers has an SD of about 6e-8 of its
size; divided by that SD its rounding becomes a signal of variance 1 (scikit-learn issue 17794).  Whatever
divides by a spread, or asks whether something varies, asks here.
"""

from __future__ import annotations

import numpy as np

FLAT = 1e-6
"""SD over root mean square up to which values count as constant."""

BLOCK = 1 << 21
"""Numbers turned into float64 at a time (16 MB)."""


def negligible(deviation: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Whether `deviation`, a norm or SD, is nothing beside `size`, the norm or root mean square of the same
    values before their mean was taken off; False for NaN."""
    return deviation <= FLAT * np.asarray(size, np.float64)


def is_constant(sd: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Whether values of standard deviation `sd` about `mean` (any shape) are constant; False for NaN."""
    return negligible(sd, np.hypot(sd, mean))


def spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(K,) float64 mean and population SD of the columns of `values` (N, K), N > 0."""
    mean, sd = np.empty((2, values.shape[1]))
    step = max(1, BLOCK // len(values))
    for start in range(0, values.shape[1], step):
        columns = slice(start, start + step)
        exact = np.asarray(values[:, columns], np.float64)
        mean[columns] = exact.mean(axis=0)
        sd[columns] = np.sqrt(((exact - mean[columns]) ** 2).mean(axis=0))
    return mean, sd


def constant_columns(values: np.ndarray) -> np.ndarray:
    """(K,) which columns of `values` (N, K) are constant; a single row is."""
    mean, sd = spread(values)
    return is_constant(sd, mean)
