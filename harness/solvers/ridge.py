"""Ridge regression with a penalty of its own for every target, chosen by cross-validation.

For weights w (mean 1), features x (p,), and one target y, the fit minimises

    sum_i w_i (y_i - b - x_i . beta)^2  +  penalty * |beta|^2

with an intercept b that is not penalised.  Features are centred, and scaled to unit variance where
asked, with statistics of all training images; within each fold the centring is done anew with the
fold's own training images, so that the intercept never sees a held-out target.  The scale is not
redone per fold, as a pipeline of scaler and ``himalaya`` ridge does not either.

Two solvers give the same numbers, both on the CPU: :mod:`harness.solvers.ridge_primal` where features are
fewer than images, else :mod:`harness.solvers.ridge_dual`, which lets himalaya solve the kernel form.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import ConfigError, DataError
from ..nn.constancy import constant_columns, is_constant
from .ridge_dual import DualSolver
from .ridge_primal import PrimalSolver

logger = logging.getLogger(__name__)

PENALTIES = tuple(float(f"{lead}e{power}") for power in range(8) for lead in (1, 3))[:15]
"""1, 3, 10, 30 ... 1e7: the range that standardised features of thousands of images call for."""

ROW_BLOCK = 4096
"""Images turned into float64 at a time."""

STEEP = 1e-3
"""Relative change of the held-out error from one penalty to the next that is worth a wider grid."""


@dataclass(frozen=True, eq=False)
class RidgeModel:
    """A fitted ridge regression of V targets on p features.

    Attributes
    ----------
    feature_mean, feature_gain : (p,) float32; features enter as (x - mean) * gain.  The gain of a
        column that was constant in training (:mod:`harness.nn.constancy`) is 0, so it can never contribute.
    target_mean : (V,) float32, the prediction at the mean of the features.
    weights : (p, V) float32 coefficients, or (n, V) dual ones where `basis` is given.
    basis : (n, p) float32 centred and scaled training features, or None.  Kept in place of (p, V)
        coefficients when that is smaller.
    penalties : (V,) float64, the chosen ones; `grid` : (A,) float64, those tried.
    cv_r2 : (V,) float32 cross-validated R^2 at the chosen penalty, against the fold's training
        mean; NaN where nothing was cross-validated or the target was constant.
    """

    feature_mean: np.ndarray
    feature_gain: np.ndarray
    target_mean: np.ndarray
    weights: np.ndarray
    basis: np.ndarray | None
    penalties: np.ndarray
    grid: np.ndarray
    cv_r2: np.ndarray

    @property
    def n_features(self) -> int:
        return len(self.feature_mean)

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(N, V) float32 predictions from `features` (N, p)."""
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise DataError(
                f"ridge was fitted on {self.n_features} features per image; given an array of shape "
                f"{features.shape}"
            )
        centred = (np.asarray(features, np.float32) - self.feature_mean) * self.feature_gain
        if self.basis is not None:
            centred = centred @ self.basis.T
        return centred @ self.weights + self.target_mean

    def save(self, file: Path) -> None:
        """Write a ``.safetensors`` file."""
        from safetensors.numpy import save_file

        arrays = {name: value for name, value in vars(self).items() if value is not None}
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, file)

    @classmethod
    def load(cls, file: Path) -> RidgeModel:
        """Read what :meth:`save` wrote; a damaged file is a :class:`DataError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(file)
            return cls(**{"basis": None, **arrays})
        except (OSError, SafetensorError, TypeError) as problem:
            raise DataError(f"{file} is not a saved ridge model ({problem}); fit it again") from None


def fit_ridge(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    ids: Sequence[str],
    penalties: Sequence[float] = PENALTIES,
    folds: int = 5,
    fold_by: Literal["id", "position"] = "id",
    contents: Sequence[str] | None = None,
    seed: int = 0,
    sample_weight: np.ndarray | None = None,
    standardise: bool = True,
    shared_penalty: bool = False,
    solver: Literal["auto", "primal", "dual"] = "auto",
) -> RidgeModel:
    """Fit ridge of `targets` (n, V) on `features` (n, p).

    Parameters
    ----------
    ids : n names of the images; ``fold_by="id"`` cuts folds in the order of their hashes with
        `seed`, ``"position"`` cuts contiguous ones.
    contents : hashes of the images; those of equal content share a fold, so that no fold is held out
        against copies of its own images.
    penalties : grid, positive.  With one penalty nothing is cross-validated.
    sample_weight : (n,) positive, for example repeats per image; scaled to mean 1, so that equal
        weights change nothing.
    standardise : scale each feature to unit (weighted) variance.
    shared_penalty : choose one penalty for all targets, by the mean of their cross-validated error
        relative to the training mean's.
    solver : ``auto`` is primal where features are fewer than images, else dual.

    A target's penalty is the one of least held-out squared error, weighted within folds and
    averaged over them; of equal ones the largest.  A constant target gets the largest.
    """
    features, targets = _checked(features, targets, ids)
    grid = _checked_grid(penalties)
    n, p = features.shape
    weight = _normalised(sample_weight, n)
    fold = (
        fold_numbers(ids, folds, by=fold_by, seed=seed, contents=contents)
        if len(grid) > 1
        else np.zeros(n, np.int64)
    )
    mean, gain = _feature_statistics(features, weight, standardise=standardise)
    target_mean = sum(weight[rows] @ targets[rows].astype(np.float64) for rows in _row_blocks(n)) / n
    primal = p < n if solver == "auto" else solver == "primal"
    problem = (PrimalSolver if primal else DualSolver)(features, targets, weight, mean, gain, target_mean)

    best = np.full(targets.shape[1], len(grid) - 1)
    cv_r2 = np.full(targets.shape[1], np.nan, np.float32)
    if len(grid) > 1:
        error, baseline = problem.cross_validate(grid, fold)
        varying = ~constant_columns(targets) & (baseline > 0)
        best, cv_r2 = _choose(error, baseline, varying, shared=shared_penalty)
        _report_edges(error[:, varying], best[varying], grid)
    weights, basis = problem.refit(grid[best])
    return RidgeModel(
        feature_mean=mean.astype(np.float32),
        feature_gain=gain.astype(np.float32),
        target_mean=target_mean.astype(np.float32),
        weights=weights,
        basis=basis,
        penalties=grid[best],
        grid=grid,
        cv_r2=cv_r2,
    )


def check_penalties(penalties: Sequence[float], folds: int, *, section: str) -> None:
    """Raise :class:`ConfigError` for parameters of `section` that leave nothing to choose from."""
    if not penalties or not min(penalties) > 0:
        given = list(penalties)
        raise ConfigError(f"{section}.alphas is {given}; expected positive numbers, for example [1, 100]")
    if folds < 2 and len(penalties) > 1:
        raise ConfigError(
            f"{section}.folds is {folds}; choosing among penalties needs 2 or more, "
            f"or give one penalty: --set {section}.alphas=[1000]"
        )


def fold_numbers(
    ids: Sequence[str],
    folds: int,
    *,
    by: str = "id",
    seed: int = 0,
    contents: Sequence[str] | None = None,
) -> np.ndarray:
    """(n,) int64 fold of each image; sizes differ by one at most, but for images of equal `contents`,
    which all go where the first of them goes.

    ``by="id"`` ranks images by a hash of seed and id, so that sorted or blocked stimulus lists make
    no difference and an image keeps its rank whatever order it comes in; ``"position"`` cuts
    contiguous runs, for images in order of presentation.
    """
    n = len(ids)
    if not 2 <= folds <= n // 2:
        if n < 4:
            raise DataError(f"{n} training images are too few to choose a penalty; at least 4 are needed")
        raise ConfigError(f"{folds} folds for {n} training images; expected folds from 2 to {n // 2}")
    if by == "position":
        rank = np.arange(n)
    elif by == "id":
        keys = [hashlib.sha256(f"fold|{seed}|{name}".encode()).digest() for name in ids]
        rank = np.empty(n, np.int64)
        rank[sorted(range(n), key=keys.__getitem__)] = np.arange(n)
    else:
        raise ConfigError(f"fold_by is {by!r}; expected 'id' or 'position'")
    fold = rank * folds // n
    if contents is not None and len(set(contents)) < n:
        first: dict[str, int] = {}
        for position in np.argsort(rank):
            first.setdefault(contents[position], int(fold[position]))
        fold = np.unique([first[content] for content in contents], return_inverse=True)[1].astype(np.int64)
        if fold.max() == 0:
            raise DataError(
                f"{n} training images have too few contents to choose a penalty; give one penalty"
            )
    return fold


def _choose(
    error: np.ndarray, baseline: np.ndarray, varying: np.ndarray, *, shared: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(V,) positions in the grid and (V,) cross-validated R^2."""
    error = np.where(np.isnan(error), np.inf, error)
    relative = np.divide(error, baseline, out=np.ones_like(error), where=varying)
    # The grid ascends: the last of equal minima is the largest penalty.
    last = len(error) - 1
    if shared:
        shared_best = last - relative[:, varying].mean(axis=1)[::-1].argmin() if varying.any() else last
        best = np.full(error.shape[1], shared_best)
    else:
        best = np.where(varying, last - relative[::-1].argmin(axis=0), last)
    r2 = 1 - np.take_along_axis(relative, best[None], axis=0)[0]
    return best, np.where(varying, r2, np.nan).astype(np.float32)


def _checked(features: np.ndarray, targets: np.ndarray, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    features, targets = np.asarray(features, np.float32), np.asarray(targets, np.float32)
    for name, array in (("features", features), ("targets", targets)):
        if array.ndim != 2 or array.shape[0] != len(ids) or array.shape[1] == 0:
            raise DataError(
                f"ridge {name} have shape {array.shape}; expected ({len(ids)} images, at least 1 column)"
            )
        if not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise DataError(
                f"ridge {name} of image '{ids[row]}' hold NaN or infinity; mask such columns before fitting"
            )
    return features, targets


def _checked_grid(penalties: Sequence[float]) -> np.ndarray:
    grid = np.unique(np.asarray(penalties, np.float64))
    if not len(grid) or not np.isfinite(grid).all() or grid[0] <= 0:
        raise ConfigError(f"penalties are {tuple(penalties)}; expected positive numbers, for example [1, 10]")
    return grid


def _normalised(sample_weight: np.ndarray | None, n: int) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n)
    weight = np.asarray(sample_weight, np.float64)
    if weight.shape != (n,) or not (np.isfinite(weight) & (weight > 0)).all():
        raise DataError(f"sample_weight must be {n} positive numbers, one per image; given {weight.shape}")
    return weight / weight.mean()


def _feature_statistics(
    features: np.ndarray, weight: np.ndarray, *, standardise: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(p,) float64 weighted mean, and gain: 1 / SD, or 1; 0 for constant columns."""
    n, p = features.shape
    total, square = np.zeros(p), np.zeros(p)
    first = features[0].astype(np.float64)  # shifting by a row keeps the variance of large offsets exact
    for part in _row_blocks(n):
        shifted = features[part].astype(np.float64) - first
        total += weight[part] @ shifted
        square += weight[part] @ shifted**2
    mean = total / n
    deviation = np.sqrt(np.maximum(square / n - mean**2, 0))
    varies = ~is_constant(deviation, first + mean)
    gain = np.zeros(p)
    gain[varies] = 1 / deviation[varies] if standardise else 1.0
    return first + mean, gain


def _row_blocks(n: int) -> list[slice]:
    return [slice(start, min(start + ROW_BLOCK, n)) for start in range(0, n, ROW_BLOCK)]


def _report_edges(error: np.ndarray, best: np.ndarray, grid: np.ndarray) -> None:
    """Warn of targets whose error still falls at an end of the grid; a flat end needs no wider grid,
    and targets without signal lie on one, since the mean predicts them best."""
    for edge, inner, word in ((0, 1, "smallest"), (len(grid) - 1, len(grid) - 2, "largest")):
        steep = (best == edge) & (error[inner] > error[edge] * (1 + STEEP))
        if steep.any():
            logger.warning(
                "ridge: %d of %d targets chose the %s penalty, %g, and would gain by one beyond it",
                *(int(steep.sum()), len(best), word, grid[edge]),
            )
