"""Principal components of training responses: what makes the bottleneck of the rows ``measured-rank-K``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..storage.content import save_array
from ..storage.references import Reference

NEGLIGIBLE = 1e-10
"""Components whose variance is below this share of the first one's are rounding."""

BLOCK = 1024
"""Patterns at a time."""


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """Mean (V,) and orthonormal components (K, V) of training responses, by falling variance.

    Masked voxels are 0 in both.
    """

    mean: np.ndarray
    components: np.ndarray
    valid: np.ndarray

    def through(self, patterns: np.ndarray, rank: int) -> np.ndarray:
        """(n, V) float32: `patterns` (n, V) through `rank` dimensions; unchanged by as many as voxels."""
        if rank >= self.valid.sum():
            return np.asarray(patterns, np.float32)
        kept = self.components[:rank].astype(np.float64)
        out = np.empty(patterns.shape, np.float32)
        for start in range(0, len(patterns), BLOCK):
            part = np.asarray(patterns[start : start + BLOCK], np.float64) - self.mean
            out[start : start + BLOCK] = self.mean + (part @ kept.T) @ kept
        return np.where(self.valid, out, np.float32(0))


def fit_bottleneck(patterns: np.ndarray, valid: np.ndarray, rank: int) -> Bottleneck:
    """The first `rank` components of mean training responses (N, V), fewer where those span fewer dimensions.

    valid : (V,) bool.  Exact, through the smaller of the two moment matrices.
    """
    from scipy.linalg import eigh

    n_valid = int(valid.sum())
    mean = patterns.mean(axis=0, dtype=np.float64).astype(np.float32)
    components_of_valid = np.zeros((0, n_valid))
    count = min(rank, len(patterns) - 1, n_valid)
    if count > 0:
        centred = patterns[:, valid].astype(np.float64)
        centred -= centred.mean(axis=0)
        few = len(centred) < n_valid
        moments = centred @ centred.T if few else centred.T @ centred
        size = len(moments)
        values, vectors = eigh(moments, subset_by_index=(size - count, size - 1))
        values, vectors = values[::-1], vectors[:, ::-1]
        real = values > NEGLIGIBLE * max(values[0], 1e-30)
        components_of_valid = vectors[:, real].T
        if few:
            components_of_valid = components_of_valid @ centred / np.sqrt(values[real])[:, None]
    components = np.zeros((len(components_of_valid), len(valid)), np.float32)
    components[:, valid] = components_of_valid
    return Bottleneck(np.where(valid, mean, np.float32(0)), components, valid)


def write_components(folder: Path, patterns: Reference, valid: np.ndarray, rank: int) -> None:
    """Write the first `rank` components of mean training responses `patterns` (N, V)."""
    fitted = fit_bottleneck(np.asarray(patterns.load()), valid, rank)
    save_array(folder, "mean", fitted.mean)
    save_array(folder, "components", fitted.components)
