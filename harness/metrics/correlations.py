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

from ..nn.constancy import is_constant

CACHED = 1 << 17  # numbers worked on at once: 1 MB in float64
SMALL = 1e-30  # norms below it, and above its inverse, are scaled in float64
SAFE = 1e-12  # norms between it and its inverse have float32 products without under- or overflow
OFFSET = 1e3  # root mean square over SD, above which rows are centred in float64
HELD = 1 << 22  # numbers of a standardised block, 16 MB in float32: larger ones are new memory each time
DENSE = 30  # a product of all rows costs about as much as one in so many of its pairs one by one
LOOKED_UP = 4000  # features that could be multiplied in the time in which a single pair is looked up


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
            for part in slices(len(values), CACHED // max(1, values.shape[1])):
                exact = values[part].astype(np.float64)
                mean[part] = exact.mean(axis=1)
                exact -= mean[part, None]
                norm[part] = np.sqrt(np.einsum("nd,nd->n", exact, exact))
        return cls.from_moments(values, mean, norm)

    @classmethod
    def from_moments(cls, values: np.ndarray, mean: np.ndarray, norm: np.ndarray) -> Rows:
        """`values` with their means and centred norms (N,), of which those of constant rows become 0."""
        with np.errstate(invalid="ignore", over="ignore"):
            flat = is_constant(norm, mean * np.sqrt(values.shape[1]))
        return cls(values, mean, np.where(flat, 0.0, norm))

    @property
    def finite(self) -> np.ndarray:
        """(N,) whether a row has neither NaN nor infinity."""
        return np.isfinite(self.norm)

    @cached_property
    def scale(self) -> np.ndarray:
        """(N,) what a row less its mean is multiplied by: 1 / norm, or 0."""
        return np.divide(1.0, self.norm, out=np.zeros(len(self.norm)), where=self.norm != 0)

    @cached_property
    def tame(self) -> bool:
        """Whether centring in float32 costs no digits that a float32 product would have kept."""
        varied = self.norm > 0
        norm, mean = self.norm[varied], np.abs(self.mean[varied]) * np.sqrt(self.values.shape[1])
        return bool(((norm > SMALL) & (norm < 1 / SMALL) & (mean <= OFFSET * norm)).all())

    @cached_property
    def plain(self) -> bool:
        """Whether float32 products of the rows as they are lose nothing: means no larger than SDs."""
        mean, varied = np.abs(self.mean) * np.sqrt(self.values.shape[1]), self.norm > 0
        small = self.norm.max(initial=0.0) < 1 / SAFE and mean.max(initial=0.0) < 1 / SAFE  # False for NaN
        centred = (self.norm > SAFE) & (mean <= self.norm)
        return self.values.dtype == np.float32 and bool(small and centred[varied].all())

    def take(self, rows: np.ndarray | slice, features: slice, dtype: type[np.floating]) -> np.ndarray:
        """(n, d) numbers of the standardised rows: of mean 0 and norm 1, or all 0."""
        given, mean, scale = self.values[rows, features], self.mean[rows, None], self.scale[rows, None]
        working = np.result_type(given.dtype, dtype) if self.tame else np.dtype(np.float64)
        mean, scale = mean.astype(working), scale.astype(working)
        out = np.empty(given.shape, dtype)
        with np.errstate(invalid="ignore"):
            for part in slices(len(given), CACHED // max(1, given.shape[1])):
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
    rows, columns = (_sliced(part) for part in at)
    n, m, count = len(first.mean[rows]), len(second.mean[columns]), first.values.shape[1]
    total = np.zeros((n, m))
    # sum (x - mx) (y - my) = sum x y - D mx my: with small means this takes less time, and rounds less, than
    # float32 rows less their mean, where all features that are 0 after a ReLU are rounded alike.
    plain = np.dtype(dtype) == np.float32 and first.plain and second.plain
    for features in slices(count, HELD // max(1, n, m)):
        if plain:
            total += first.values[rows, features] @ second.values[columns, features].T
        else:
            total += first.take(rows, features, dtype) @ second.take(columns, features, dtype).T
    if plain:
        total -= np.multiply.outer(count * first.mean[rows], second.mean[columns])
        total *= first.scale[rows, None]
        total *= second.scale[columns]
    return total


def correlations_of_pairs(first: Rows, second: Rows, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """(P,) float64 correlations of row ``i[p]`` of `first` and ``j[p]`` of `second`, in float64."""
    (rows, at), (columns, to) = (np.unique(positions, return_inverse=True) for positions in (i, j))
    count = first.values.shape[1]
    if len(i) * (count + LOOKED_UP) * DENSE > len(rows) * len(columns) * count:
        return correlations(first, second, dtype=np.float64, at=(rows, columns))[at, to]
    # Neither side is standardised as a whole: 3,000 pairs of 1,000 rows read each row a few times, and
    # from the cache, which takes less than writing all rows in float64 once.
    order = np.argsort(to, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(to[order])) + 1)
    total, held = np.zeros(len(i)), np.empty(min(count, CACHED // 2))
    for features in slices(count, len(held)):
        centred = held[: features.stop - features.start]
        for group in groups:
            unit = second.take(j[group[:1]], features, np.float64)[0]
            for pair in group:
                row = i[pair]
                with np.errstate(invalid="ignore"):
                    np.subtract(first.values[row, features], first.mean[row], out=centred, dtype=np.float64)
                total[pair] += np.einsum("d,d->", centred, unit)  # BLAS would share it among threads
    return total * first.scale[i]


def _sliced(rows: np.ndarray | slice) -> np.ndarray | slice:
    """Consecutive rows as a slice, which copies nothing."""
    if isinstance(rows, slice) or not len(rows) or (np.diff(rows) != 1).any():
        return rows
    return slice(int(rows[0]), int(rows[-1]) + 1)


def slices(length: int, step: int) -> Iterator[slice]:
    """Parts of `step` (at least 1) that cover `length`."""
    step = max(1, step)
    for start in range(0, length, step):
        yield slice(start, min(length, start + step))
