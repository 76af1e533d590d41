"""Signal and noise variance of voxels from repeated trials: a one-way random-effects analysis of variance.

With n_i trials of image i of a split, in all N = sum n_i of a images, the squares within images estimate the
noise variance e of a single trial on N - a degrees of freedom, and those between image means, about the
split's own mean, are expected to be (a - 1) e + (N - sum n_i^2 / N) s with the signal variance s (Searle,
Casella & McCulloch 1992, ch. 3).  Squares and degrees of freedom are added up over splits, so that whatever
has more repeats weighs more and a shift between splits is no signal.  Images shown once say nothing of e and
are left out, as by Allen et al. (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BLOCK = 256
"""Images whose trials are read at once."""


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of V voxels and what they rest on.

    signal, noise : (V,) float64, of the noiseless response over images, and of a single trial; `signal` is
        not below 0.
    within, between : degrees of freedom of the squares within images and between them.
    images, trials : of each split, how many images were shown twice or more, and how often in all.
    """

    signal: np.ndarray
    noise: np.ndarray
    within: int
    between: int
    images: tuple[int, ...]
    trials: tuple[int, ...]

    def ncsnr(self, *, least_noise: float) -> np.ndarray:
        """(V,) SD of signal over SD of a trial's noise, the latter at least `least_noise` of the signal
        variance so that the ratio is finite; 0 where there is neither."""
        noise = np.maximum(self.noise, least_noise * self.signal)
        out = np.zeros(len(noise))
        return np.divide(np.sqrt(self.signal), np.sqrt(noise), out=out, where=noise > 0)

    def noise_ceiling(self, counts: np.ndarray) -> np.ndarray:
        """(V,) share of the variance of means over `counts` (N,) trials that is signal; NaN without any."""
        total = self.signal + self.noise * np.mean(1.0 / np.asarray(counts, np.float64))
        return self.signal / np.where(total > 0, total, np.nan)

    def source(self, names: Sequence[str]) -> str:
        """Which trials these are, in words, for splits called `names`."""
        parts = [
            f"{trials} trials of {images} {name} images"
            for name, images, trials in zip(names, self.images, self.trials, strict=True)
            if images
        ]
        return " and ".join(parts)


def variance_components(splits: Sequence[tuple[Any, np.ndarray]]) -> VarianceComponents | None:
    """From (data (T, V), image_index (T,)) of each split; None without two repeated images in one of them.

    `data` is an array, memory map or HDF5 data set, read block by block.
    """
    width = splits[0][0].shape[1]
    squares_within, squares_between = np.zeros((2, width))
    within, between, share = 0, 0, 0.0
    repeated_images, repeated_trials = [], []
    for data, image_index in splits:
        counts = np.bincount(image_index)
        order = np.argsort(image_index, kind="stable")
        starts = np.cumsum(counts) - counts
        repeated = np.flatnonzero(counts >= 2)
        shown = counts[repeated]
        total, mean = 0, np.zeros(width)
        for images in np.array_split(repeated, range(BLOCK, len(repeated), BLOCK)):
            if not len(images):
                continue
            at = np.concatenate([order[starts[k] : starts[k] + counts[k]] for k in images])
            increasing = np.sort(at)  # HDF5 reads sorted positions only
            block = np.asarray(data[increasing], np.float64)[np.searchsorted(increasing, at)]
            for trials in np.split(block, np.cumsum(counts[images])[:-1]):
                n, centre = len(trials), trials.mean(axis=0)
                squares_within += ((trials - centre) ** 2).sum(axis=0)
                shift = centre - mean
                squares_between += shift**2 * total * n / (total + n)
                total += n
                mean += shift * n / total
        repeated_images.append(len(repeated))
        repeated_trials.append(int(shown.sum()))
        if len(repeated):
            within += int((shown - 1).sum())
            between += len(repeated) - 1
            share += shown.sum() - (shown**2).sum() / shown.sum()
    if not between:
        return None
    noise = squares_within / within
    signal = np.maximum((squares_between - between * noise) / share, 0)
    return VarianceComponents(signal, noise, within, between, tuple(repeated_images), tuple(repeated_trials))
