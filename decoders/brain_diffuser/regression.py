"""The regressions of Brain-Diffuser (Ozcelik and VanRullen 2023), as its public scripts (MIT) run them.

Voxels are z-scored with the training mean and the ddof-1 deviation; one ridge of a fixed penalty with an
intercept.  Heavily shrunk predictions are then standardised over the **test set** and given the training
targets' spread: that needs all test responses at once, so it is a calibration, and the result is flagged
transductive.  Without it the mean and deviation of held-out training rows stand in: predictions of rows that
were fitted vary more than those of new ones.
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
    centre, spread : (D,) of predictions, those of held-out training rows until :meth:`calibrated`.
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
    def fit(
        cls, voxels: np.ndarray, targets: np.ndarray, *, penalty: float, folds: int = 5, seed: int = 0
    ) -> RescaledRidge:
        """Fit `targets` (n, D) on `voxels` (n, V), float64 inside; `seed` chooses the folds."""
        if len(voxels) < 2 * folds:
            raise DataError(
                f"{len(voxels)} training images are too few for {folds} folds; give {2 * folds} or more"
            )
        voxels = np.asarray(voxels, np.float64)
        mean, spread = voxels.mean(0), voxels.std(0, ddof=1)
        x, width = _scaled(voxels, mean, spread), targets.shape[1]
        fold = np.random.default_rng(seed).permutation(len(x)) % folds
        whole = _Solver(x, penalty)
        parts = [(_Solver(x[fold != k], penalty), fold != k) for k in range(folds)]
        weights = np.empty((x.shape[1], width), np.float32)
        bias, target_mean, target_spread, middle, wide = (np.empty(width) for _ in range(5))
        for start in track(range(0, width, BLOCK), "ridge, blocks of targets"):
            block = slice(start, min(start + BLOCK, width))
            y = np.asarray(targets[:, block], np.float64)
            target_mean[block], target_spread[block] = y.mean(0), y.std(0)
            weights[:, block], bias[block] = whole.solve(y)
            held_out = np.empty_like(y)
            for solver, rows in parts:
                part_weights, part_bias = solver.solve(y[rows])
                held_out[~rows] = x[~rows] @ part_weights + part_bias
            middle[block], wide[block] = held_out.mean(0), held_out.std(0)
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

    def save(self, file: Path, *, shape: tuple[int, ...] = ()) -> None:
        """Write a ``.safetensors`` file; `shape` is that of one target."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(value) for name, value in vars(self).items()}
        save_file({**arrays, "shape": np.array(shape or (self.weights.shape[1],), np.int64)}, file)

    @classmethod
    def load(cls, file: Path) -> tuple[RescaledRidge, tuple[int, ...]]:
        """What :meth:`save` wrote, and the shape of a target; a damaged file is a :class:`DataError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(file)
            shape = tuple(int(size) for size in arrays.pop("shape"))
            return cls(**arrays), shape
        except (OSError, SafetensorError, TypeError, KeyError) as problem:
            raise DataError(f"{file} is not a saved regression ({problem}); fit it again") from None


class _Solver:
    """Ridge with an intercept on rows `x` (n, V), by whichever of the two Gram matrices is smaller."""

    def __init__(self, x: np.ndarray, penalty: float) -> None:
        from scipy.linalg import cho_factor

        self.mean = x.mean(0)
        self.x = x - self.mean
        self.primal = x.shape[1] <= len(x)
        gram = self.x.T @ self.x if self.primal else self.x @ self.x.T
        gram[np.diag_indices_from(gram)] += penalty
        self.factor = cho_factor(gram, lower=True)

    def solve(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Targets (n, D) -> weights (V, D) and bias (D,)."""
        from scipy.linalg import cho_solve

        mean = y.mean(0)
        left = y - mean
        if self.primal:
            weights = cho_solve(self.factor, self.x.T @ left)
        else:
            weights = self.x.T @ cho_solve(self.factor, left)
        return weights, mean - self.mean @ weights


def _scaled(voxels: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return np.divide(voxels - mean, spread, out=np.zeros_like(voxels), where=spread > 0)
