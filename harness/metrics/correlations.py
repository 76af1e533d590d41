"""Pearson correlations between rows of two arrays, in blocks of features.

Features of 1,000 images may be half a gigabyte; neither a standardised copy nor one in float64 is ever
made whole.  Rows of any real type come in, float16 included; means and norms are float64, products are
float32 or float64 within a block and are added up in float64 over blocks.

A row without variance correlates 0 with everything, a row with NaN or infinity NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FLAT = 1e-6  # SD over root mean square below which a row counts as constant
CACHED = 1 << 17  # numbers worked on at once: 1 MB in float64
SMALL = 1e-30  # norms below it, and above its inverse, are scaled in float64
OFFSET = 1e3  # root mean square over SD, above which rows are centred in float64
HELD = 1 << 23  # numbers of a standardised block: 32 MB in float32
DENSE = 50  # a product of all rows costs about as much as this share of its pairs one by one


@dataclass(frozen=True)
class Rows:
    """Rows (N, D) and what it takes to standardise them.

    mean, norm : (N,) float64; `norm` is that of the row less its mean, 0 for a constant row and NaN
        for a row with NaN or infinity.
    """

    values: np.ndarray
    mean: np.ndarray
    norm: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Rows:
        """`values` (N, D) as they are, read once."""
        mean, norm = np.empty((2, len(values)))
        with np.errstate(invalid="ignore", over="ignore"):  # infinity less infinity
            for part in _slices(len(values), CACHED // max(1, values.shape[1])):
                exact = values[part].astype(np.float64)
                mean[part] = exact.mean(axis=1)
                exact -= mean[part, None]
                norm[part] = np.sqrt(np.einsum("nd,nd->n", exact, exact))
            flat = norm <= FLAT * np.hypot(norm, mean * np.sqrt(values.shape[1]))
        return cls(values, mean, np.where(flat, 0.0, norm))

    @property
    def finite(self) -> np.ndarray:
        """(N,) whether a row has neither NaN nor infinity."""
        return np.isfinite(self.norm)

    @cached_property
    def tame(self) -> bool:
        """Whether centring in float32 costs no digits that a float32 product would have kept."""
        varied = self.norm > 0
        norm, mean = self.norm[varied], np.abs(self.mean[varied]) * np.sqrt(self.values.shape[1])
        return bool(((norm > SMALL) & (norm < 1 / SMALL) & (mean <= OFFSET * norm)).all())

    def take(self, rows: np.ndarray | slice, features: slice, dtype: type[np.floating]) -> np.ndarray:
        """(n, d) numbers of the standardised rows: of mean 0 and norm 1, or all 0."""
        given, mean, norm = self.values[rows, features], self.mean[rows, None], self.norm[rows, None]
        scale = np.divide(1.0, norm, out=np.zeros(norm.shape), where=norm != 0)
        working = np.result_type(given.dtype, dtype) if self.tame else np.dtype(np.float64)
        mean, scale = mean.astype(working), scale.astype(working)
        out = np.empty(given.shape, dtype)
        with np.errstate(invalid="ignore"):
            for part in _slices(len(given), CACHED // max(1, given.shape[1])):
                centred = np.subtract(given[part], mean[part], dtype=working)
                np.multiply(centred, scale[part], out=out[part], casting="same_kind")
        return out


def standardise(rows: np.ndarray, dtype: type[np.floating] = np.float64) -> np.ndarray:
    """(N, D) rows less their mean, of unit norm, computed in float64; zeros for a constant row."""
    return Rows.of(rows).take(slice(None), slice(None), dtype)


def correlations(
    first: Rows,
    second: Rows,
    *,
    dtype: type[np.floating],
    at: tuple[np.ndarray | slice, np.ndarray | slice] = (slice(None), slice(None)),
) -> np.ndarray:
    """(n, m) float64 correlations of rows ``at[0]`` of `first` and ``at[1]`` of `second`."""
    n, m = len(first.mean[at[0]]), len(second.mean[at[1]])
    total = np.zeros((n, m))
    for features in _slices(first.values.shape[1], HELD // max(1, n, m)):
        total += first.take(at[0], features, dtype) @ second.take(at[1], features, dtype).T
    return total


def correlations_of_pairs(first: Rows, second: Rows, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """(P,) float64 correlations of row ``i[p]`` of `first` and ``j[p]`` of `second`, in float64."""
    (rows, i), (columns, j) = (np.unique(one, return_inverse=True) for one in (i, j))
    if DENSE * len(i) > len(rows) * len(columns):
        return correlations(first, second, dtype=np.float64, at=(rows, columns))[i, j]
    total = np.zeros(len(i))
    for features in _slices(first.values.shape[1], HELD // max(1, len(rows), len(columns))):
        left, right = first.take(rows, features, np.float64), second.take(columns, features, np.float64)
        for part in _slices(len(i), CACHED // left.shape[1]):
            total[part] += np.einsum("pd,pd->p", left[i[part]], right[j[part]])
    return total


def _slices(length: int, step: int) -> Iterator[slice]:
    step = max(1, step)
    for start in range(0, length, step):
        yield slice(start, min(length, start + step))
