"""Responses of any layout as a lazy (T, V) table: statistics, normalisation, noise ceiling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.api import CeilingSource, DataError
from harness.nn.constancy import is_constant
from harness.nn.variance_components import variance_components
from harness.reading.arrays import ArraySource

logger = logging.getLogger(__name__)

LAYOUTS = ("trials-first", "voxels-first", "images-repeats-voxels")
_BLOCK = 256
_LEAST_NOISE = 1e-6  # of the signal variance: keeps the ratio finite


class ResponseTable:
    """(T, V) responses in an array of `layout`; for (N, R, V), trial t is repeat t % R of image t // R."""

    def __init__(self, source: ArraySource, layout: str) -> None:
        axes = 3 if layout == "images-repeats-voxels" else 2
        if len(source.shape) != axes:
            hint = (
                ""
                if axes == 3
                else "; for (images, repeats, voxels) add responses_layout: images-repeats-voxels"
            )
            raise DataError(
                f"{source.what} has shape {source.shape}; responses_layout {layout} needs {axes} axes"
                + (hint if len(source.shape) == 3 else "")
            )
        if source.dtype.kind not in "iuf":
            raise DataError(f"{source.what} holds {source.dtype}; expected numbers, one per trial and voxel")
        self.source, self.layout, self.what = source, layout, source.what

    @property
    def repeats(self) -> int:
        """R of an (N, R, V) array, else 1."""
        return self.source.shape[1] if self.layout == "images-repeats-voxels" else 1

    @property
    def shape(self) -> tuple[int, int]:
        shape = self.source.shape
        return shape[::-1] if self.layout == "voxels-first" else (shape[0] * self.repeats, shape[-1])

    def rows(self, trials: np.ndarray) -> np.ndarray:
        """(n, V) float64 responses of `trials`, in their order."""
        if self.layout == "voxels-first":
            values = self.source.take(trials, axis=1).T
        elif self.layout == "trials-first":
            values = self.source.take(trials)
        else:
            images, back = np.unique(trials // self.repeats, return_inverse=True)
            values = self.source.take(images)[back, trials % self.repeats]
        return values.astype(np.float64)


def measured_trials(
    table: ResponseTable, *, name: str, exclude: Sequence[str], listed: np.ndarray | None = None
) -> np.ndarray:
    """Rows of `table` that were measured, for the split called `name`; of those `listed`, else of all.

    A trial that is NaN in every voxel was not and is left out; so is one of zeros with ``"zero"`` in
    `exclude`, else a :class:`DataError`, since no scanner gives zeros: a lost file behind an HDF5 virtual
    data set, or an array never filled, does.  One voxel alone may well be 0.
    """
    listed = np.arange(table.shape[0]) if listed is None else listed
    unknown, zero = (np.zeros(len(listed), bool) for _ in range(2))
    for start in range(0, len(listed), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = table.rows(listed[part])
        missing = np.isnan(block)
        unknown[part] = missing.all(axis=1)
        zero[part] = ((block == 0) | missing).all(axis=1) & ~unknown[part]
    zero &= table.shape[1] > 1
    kept = listed[~unknown & ~zero]
    if not len(kept):
        raise DataError(f"{name}: all {len(zero)} trials of {table.what} are 0 or NaN in every voxel")
    # Repeats that were never shown are how (N, R, V) is filled up, nothing to warn of.
    for lost, level, words in (
        (unknown, logging.INFO if table.repeats > 1 else logging.WARNING, "NaN"),
        (zero, logging.WARNING, "0"),
    ):
        if not lost.any():
            continue
        first = ", ".join(map(str, listed[lost][:5]))
        be = "is" if lost.sum() == 1 else "are"
        told = (
            f"{name}: {lost.sum()} of {len(lost)} trials of {table.what} {be} {words} in every voxel "
            f"(first, from 0: {first})"
        )
        if lost is zero and "zero" not in exclude:
            others = ", ".join([*exclude, "zero"])
            hint = f"to leave them out add exclude: [{others}]"
            raise DataError(f"{told}; was a file behind it lost, or never filled? If not, {hint}")
        logger.log(level, "%s and left out", told, extra={"flag": "trials-not-measured"})
    return kept


@dataclass(frozen=True)
class Moments:
    """Statistics of training trials by group (a session, or all): (G,) names, (G, V) values.

    mean, sd : population mean and standard deviation in float64.
    constant : (V,) True where a group varies by no more than rounding (:mod:`harness.nn.constancy`).
    finite : (V,) False where any value is NaN or inf in float32.
    """

    groups: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    constant: np.ndarray
    finite: np.ndarray

    def pooled(self) -> Moments:
        """One group: the mean of the groups' means and of their variances."""
        mean, sd = self.mean.mean(axis=0), np.sqrt((self.sd**2).mean(axis=0))
        return Moments(np.zeros(1, np.int64), mean[None], sd[None], self.constant, self.finite)

    def first(self, count: int) -> Moments:
        """The first `count` groups."""
        return replace(self, groups=self.groups[:count], mean=self.mean[:count], sd=self.sd[:count])

    def with_group(self, other: Moments) -> Moments:
        """These groups and, as the last of all, the one group of `other`."""
        return Moments(
            np.append(self.groups, self.groups.max() + 1),
            np.concatenate([self.mean, other.mean]),
            np.concatenate([self.sd, other.sd]),
            self.constant | other.constant,
            self.finite & other.finite,
        )


def measure(table: ResponseTable, trials: np.ndarray, groups: np.ndarray) -> Moments:
    """Moments of `trials` by their `groups` (T,), in one pass, block by block.

    Means and squared deviations of blocks are merged as Chan, Golub and LeVeque (1983) do, which
    stays exact where sums of squares cancel.
    """
    names, group_of = np.unique(groups, return_inverse=True)
    size = (len(names), table.shape[1])
    count, mean, squares = np.zeros(len(names)), np.zeros(size), np.zeros(size)
    finite = np.ones(table.shape[1], bool)
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(trials), _BLOCK):
            block = table.rows(trials[start : start + _BLOCK])
            finite &= np.isfinite(block.astype(np.float32)).all(axis=0)
            within = group_of[start : start + _BLOCK]
            for g in np.unique(within):
                part = block[within == g]
                centre, total = part.mean(axis=0), count[g] + len(part)
                shift = centre - mean[g]
                squares[g] += ((part - centre) ** 2).sum(axis=0) + shift**2 * count[g] * len(part) / total
                mean[g] += shift * len(part) / total
                count[g] = total
        sd = np.sqrt(squares / count[:, None])
        constant = is_constant(sd, mean).any(axis=0) & finite
    return Moments(names, mean, sd, constant=constant, finite=finite)


class ResponseRows:
    """Chosen trials of a table as (T, V) float32: normalised, masked voxels at 0; read on demand.

    `moments` are those of training trials; `groups` (T,) names the row of them that each trial is
    normalised with.  Without `moments` values stay as they are, times `factor`.
    """

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(
        self,
        table: ResponseTable,
        trials: np.ndarray,
        *,
        valid: np.ndarray,
        moments: Moments | None = None,
        groups: np.ndarray | None = None,
        factor: float = 1.0,
    ) -> None:
        self.table, self.trials, self.valid = table, trials, valid
        self.shape = (len(trials), table.shape[1])
        self._moments, self._factor = moments, factor
        self._row = None if moments is None else np.searchsorted(moments.groups, groups)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, tuple):
            values = self[index[0]]
            return values[(..., *index[1:])] if values.ndim == 1 else values[(slice(None), *index[1:])]
        chosen = np.arange(len(self))[index]
        rows = np.atleast_1d(chosen)
        values = self.table.rows(self.trials[rows])
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            if self._moments is not None:
                at = self._row[rows]
                values = (values - self._moments.mean[at]) / self._moments.sd[at]
            if self._factor != 1:
                values = values * self._factor
            out = values.astype(np.float32)
        out[:, ~self.valid] = 0
        return out if np.ndim(chosen) else out[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def estimate_ncsnr(
    parts: Sequence[tuple[ResponseRows, np.ndarray]],
) -> tuple[np.ndarray | None, CeilingSource | None]:
    """(V,) noise-ceiling SNR from the repeated trials of the training and test images together.

    parts : responses and image index (T,) of train and of test.  None with fewer than two repeated images
    in either (:mod:`harness.nn.variance_components`).
    """
    components = variance_components(parts)
    if components is None:
        return None, None
    source = CeilingSource(components.source(("training", "test")), components.within, components.between)
    logger.info("noise ceilings rest on %s", source)
    data = parts[0][0]
    flawless = (components.noise < _LEAST_NOISE * components.signal) & data.valid
    if flawless.any():
        logger.warning(
            "%s: the repeats of each image are identical in %d voxels; are they copies of an average?",
            data.table.what,
            flawless.sum(),
        )
    return components.ncsnr(least_noise=_LEAST_NOISE), source
