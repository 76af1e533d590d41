"""The regression of Takagi and Nishimoto (CVPR 2023), as their public ``ridge.py`` (MIT) runs it.

A scaler of voxels and himalaya's ``RidgeCV`` with its defaults: five contiguous folds, a penalty per target
by squared error, and **no intercept**.  Targets are not centred, so what is decoded lacks the targets' mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import ConfigError, DataError, track

FOLDS = 5
BLOCK = 4096
"""Targets solved for at a time."""


@dataclass(frozen=True, eq=False)
class ScaledRidge:
    """Standardised voxels -> targets.

    mean, spread : (V,) of the voxels of the training rows; a constant voxel has spread 1.
    weights : (V, D); offset : (D,), zeros without an intercept.
    penalties : (D,) chosen.
    """

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    penalties: np.ndarray

    @classmethod
    def fit(
        cls,
        voxels: np.ndarray,
        targets: np.ndarray,
        *,
        penalties: Sequence[float],
        intercept: bool = False,
        at: np.ndarray | None = None,
    ) -> ScaledRidge:
        """Fit `targets` (n, D), or rows `at` (n,) of it, on `voxels` (n, V).

        intercept : centre voxels and targets within folds, which the public script does not.
        """
        from himalaya.ridge import RidgeCV
        from sklearn.preprocessing import StandardScaler

        if len(voxels) < 2 * FOLDS:
            raise DataError(f"{len(voxels)} training trials are too few for {FOLDS} folds; give at least 10")
        if not penalties or min(penalties) <= 0:
            raise ConfigError(f"takagi penalties are {list(penalties)}; expected positive numbers")
        scaler = StandardScaler().fit(voxels)
        x = np.asarray(scaler.transform(voxels), np.float32)
        width = targets.shape[1]
        weights = np.empty((x.shape[1], width), np.float32)
        offset, chosen = np.zeros(width, np.float32), np.empty(width)
        for start in track(range(0, width, BLOCK), "ridge, blocks of targets"):
            block = slice(start, min(start + BLOCK, width))
            y = np.asarray(targets[:, block], np.float32)
            y = y if at is None else y[at]
            ridge = RidgeCV(alphas=np.asarray(penalties, float), fit_intercept=intercept, cv=FOLDS).fit(x, y)
            weights[:, block], chosen[block] = ridge.coef_, ridge.best_alphas_
            if intercept:
                offset[block] = ridge.intercept_
        return cls(scaler.mean_, scaler.scale_, weights, offset, chosen)

    def predict(self, voxels: np.ndarray) -> np.ndarray:
        """(N, V) -> (N, D) float32."""
        if voxels.shape[1] != len(self.mean):
            raise DataError(f"{voxels.shape[1]} voxels given; the regression was fitted on {len(self.mean)}")
        scaled = ((voxels - self.mean) / self.spread).astype(np.float32)
        return scaled @ self.weights + self.offset

    def save(self, file: Path) -> None:
        """Write a ``.safetensors`` file."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, file)

    @classmethod
    def load(cls, file: Path) -> ScaledRidge:
        """Read what :meth:`save` wrote; a damaged file is a :class:`DataError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return cls(**load_file(file))
        except (OSError, SafetensorError, TypeError) as problem:
            raise DataError(f"{file} is not a saved regression ({problem}); fit it again") from None
