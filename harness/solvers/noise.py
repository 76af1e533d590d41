"""Gaussian noise of many voxels from few residuals: the covariance and the units in which it is white."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError

NEGLIGIBLE = 1e-10
"""Axes with less than this share of the first one's variance are rounding."""


@dataclass(frozen=True, eq=False)
class Noise:
    """Covariance D [(1 - a) C + a I] D, with D the standard deviations, C the correlations and a the
    shrinkage.

    sd : (U,) of each voxel.  axes : (K, U) orthonormal rows that span C; variances : (K,) of C along them.
    """

    sd: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    shrinkage: float

    @classmethod
    def fit(cls, residuals: np.ndarray) -> Noise:
        """From `residuals` (n, U) around a mean of 0, n of any size.

        The shrinkage is that of Ledoit and Wolf (2004) for standardised residuals.  A voxel without residuals
        counts as one of unit variance.
        """
        residuals = np.asarray(residuals, np.float64)
        n, width = residuals.shape
        sd = np.sqrt((residuals**2).mean(axis=0))
        sd = np.where(sd > 0, sd, 1.0)
        scaled = residuals / sd
        gram = scaled @ scaled.T  # (n, n)
        square, mean = (gram**2).sum() / n**2, np.trace(gram) / (n * width)  # |C|^2, mean variance
        away = square - width * mean**2
        noise = ((np.diag(gram) ** 2).sum() / n - square) / n
        shrinkage = float(np.clip(noise / away, 0, 1)) if away > 0 else 1.0
        values, vectors = np.linalg.eigh(gram)
        kept = values > NEGLIGIBLE * max(values[-1], np.finfo(float).tiny)
        axes = (vectors[:, kept] / np.sqrt(values[kept])).T @ scaled
        return cls(sd, axes, values[kept] / n, max(shrinkage, 1e-3))

    def whiten(self, patterns: np.ndarray) -> np.ndarray:
        """(N, U) float64 `patterns` (N, U) in units in which the noise is white: squared distances are
        Mahalanobis'.

        The symmetric root of the inverse, which leaves what lies outside the axes as it is.
        """
        scaled = np.asarray(patterns, np.float64) / self.sd
        along = np.sqrt(self.shrinkage / (self.shrinkage + (1 - self.shrinkage) * self.variances))
        return (scaled - ((scaled @ self.axes.T) * (1 - along)) @ self.axes) / np.sqrt(self.shrinkage)

    def save(self, file: Path) -> None:
        """Write a ``.safetensors`` file."""
        from safetensors.numpy import save_file

        arrays = {**vars(self), "shrinkage": np.array([self.shrinkage])}
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, file)

    @classmethod
    def load(cls, file: Path) -> Noise:
        """Read what :meth:`save` wrote; a damaged file is a :class:`DataError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(file)
            return cls(**{**arrays, "shrinkage": float(arrays["shrinkage"][0])})
        except (OSError, SafetensorError, TypeError, KeyError) as problem:
            raise DataError(f"{file} holds no noise model ({problem}); fit it again") from None
