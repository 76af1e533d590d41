"""The regressions of Brain-Diffuser (Ozcelik and VanRullen 2023), as its public scripts (MIT) run them.

Voxels are z-scored with the training mean and the ddof-1 deviation; one ridge of a fixed penalty with an
intercept.  Heavily shrunk predictions are then standardised over the **test set** and given the training
targets' spread: that needs all test responses at once, so it is a calibration, and the result is flagged
transductive.  Without it the deviation of the training rows' own predictions stands in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.api import DataError, track

BLOCK = 4096
"""Targets solved for at a time."""


@dataclass(frozen=True, eq=False)
class RescaledRidge:
    """z-scored voxels -> targets of the training targets' mean and spread.

    voxel_mean, voxel_spread : (V,) float64; the gain of a constant voxel is 0.
    weights : (V, D); bias : (D,), the raw ridge, as the public files hold it.
    target_mean, target_spread : (D,) of the training targets, ddof 0.
    centre, spread : (D,) mean and deviation of predictions, over the training rows until :meth:`calibrated`.
    """

    voxel_mean: np.ndarray
    voxel_spread: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    target_mean: np.ndarray
    target_spread: np.ndarray
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, voxels: np.ndarray, targets: np.ndarray, *, penalty: float) -> RescaledRidge:
        """Fit `targets` (n, D) on `voxels` (n, V), float64 inside."""
        if len(voxels) < 2:
            raise DataError(f"{len(voxels)} training images are too few for a regression; give at least 2")
        voxels = np.asarray(voxels, np.float64)
        mean, spread = voxels.mean(0), voxels.std(0, ddof=1)
        x = _scaled(voxels, mean, spread)
        n, width = len(x), targets.shape[1]
        x_mean = x.mean(0)
        centred = x - x_mean
        primal = x.shape[1] <= n
        gram = centred.T @ centred if primal else centred @ centred.T
        gram[np.diag_indices_from(gram)] += penalty
        weights = np.empty((x.shape[1], width), np.float32)
        bias, target_mean, target_spread, middle, wide = (np.empty(width) for _ in range(5))
        from scipy.linalg import cho_factor, cho_solve

        factor = cho_factor(gram, lower=True)
        for start in track(range(0, width, BLOCK), "ridge, blocks of targets"):
            block = slice(start, min(start + BLOCK, width))
            y = np.asarray(targets[:, block], np.float64)
            target_mean[block], target_spread[block] = y.mean(0), y.std(0)
            left = y - target_mean[block]
            if primal:
                solved = cho_solve(factor, centred.T @ left)
            else:
                solved = centred.T @ cho_solve(factor, left)
            weights[:, block] = solved
            bias[block] = target_mean[block] - x_mean @ solved
            predicted = x @ solved + bias[block]
            middle[block], wide[block] = predicted.mean(0), predicted.std(0)
        return cls(mean, spread, weights, bias, target_mean, target_spread, middle, wide)

    def raw(self, voxels: np.ndarray) -> np.ndarray:
        """(N, V) -> (N, D) float64 of the ridge alone."""
        if voxels.shape[1] != len(self.voxel_mean):
            raise DataError(
                f"{voxels.shape[1]} voxels given; the regression was fitted on {len(self.voxel_mean)}"
            )
        x = _scaled(np.asarray(voxels, np.float64), self.voxel_mean, self.voxel_spread)
        return x @ self.weights + self.bias

    def calibrated(self, voxels: np.ndarray) -> RescaledRidge:
        """Standardise over the predictions of these rows, the whole test set in the public scripts."""
        predicted = self.raw(voxels)
        return replace(self, centre=predicted.mean(0), spread=predicted.std(0))

    def predict(self, voxels: np.ndarray) -> np.ndarray:
        """(N, V) -> (N, D) float64, rescaled; a target that is always predicted alike keeps its mean."""
        gain = np.divide(
            self.target_spread, self.spread, out=np.zeros_like(self.spread), where=self.spread > 0
        )
        return (self.raw(voxels) - self.centre) * gain + self.target_mean

    def save(self, file: Path) -> None:
        """Write a ``.safetensors`` file."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(value) for name, value in vars(self).items()}, file)

    @classmethod
    def load(cls, file: Path) -> RescaledRidge:
        """Read what :meth:`save` wrote; a damaged file is a :class:`DataError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return cls(**load_file(file))
        except (OSError, SafetensorError, TypeError) as problem:
            raise DataError(f"{file} is not a saved regression ({problem}); fit it again") from None


def _scaled(voxels: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.divide(voxels - mean, spread, out=np.zeros_like(voxels), where=spread > 0)
