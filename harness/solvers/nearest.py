"""The training pattern that correlates most with a given one."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..nn.constancy import negligible

BLOCK = 1024

TIE = 1e-12
"""Correlations closer than this count as equal: matrix products round equal rows differently."""


def nearest(inputs: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """(N,) positions of the `patterns` (M, V) with the highest Pearson r to each of `inputs` (N, V).

    Exact, in float64, a block of both at a time.  Of equal ones the lowest position; a constant
    pattern or input correlates 0 with everything, so that an all-zero input gives position 0 or
    whatever correlates with nothing first.  Give valid voxels only.
    """
    return nearest_with_r(inputs, patterns)[0]


def nearest_with_r(
    inputs: np.ndarray, patterns: np.ndarray, *, barred: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`nearest` gives, and (N,) those correlations.

    barred : (N,) a position that each input may not have, such as its own among the patterns.
    """
    if inputs.ndim != 2 or patterns.ndim != 2 or inputs.shape[1] != patterns.shape[1] or not len(patterns):
        raise DataError(
            f"cannot compare inputs of shape {inputs.shape} with patterns of shape {patterns.shape}; "
            "expected (N, V) and (at least 1, V) of the same voxels"
        )
    best = np.full(len(inputs), -np.inf)
    at = np.zeros(len(inputs), np.int64)
    for start in range(0, len(patterns), BLOCK):
        block = _unit_rows(patterns[start : start + BLOCK])
        for first in range(0, len(inputs), BLOCK):
            rows = slice(first, min(first + BLOCK, len(inputs)))
            r = _unit_rows(inputs[rows]) @ block.T
            if barred is not None:
                own = np.flatnonzero((barred[rows] >= start) & (barred[rows] < start + len(block)))
                r[own, barred[rows][own] - start] = -np.inf
            top = r.max(axis=1)
            lowest = (r >= top[:, None] - TIE).argmax(axis=1)
            better = top > best[rows] + TIE
            at[rows][better] = start + lowest[better]
            best[rows][better] = top[better]
    return at, best


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows, np.float64)
    centred = rows - rows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    constant = negligible(norm, np.linalg.norm(rows, axis=1, keepdims=True))
    return np.divide(centred, norm, out=np.zeros_like(centred), where=~constant)
