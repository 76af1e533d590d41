"""Kernel form of :mod:`harness.solvers.ridge` for features that are as many as the images or more.

himalaya (Dupre la Tour, Eickenberg, Nunez-Elizalde and Gallant 2022, NeuroImage 264:119728)
diagonalises each fold's kernel and predicts its held-out images.  Its own intercept is a plain mean,
also where rows carry weights; so each fold's kernel and targets are centred here, by the weighted
mean of the fold's training images, multiplied by the roots of the weights, and handed over without
an intercept.
Without weights the result is himalaya's own with ``fit_intercept=True``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np

from ..api import progress, track

FEATURE_BLOCK = 2048
"""Features per step of the float64 sum of the kernel."""

WORKING_NUMBERS = 2**27
"""Targets x images solved for at a time: 1 GiB for each of the few float64 copies that himalaya makes.
More targets cost another eigendecomposition per block, not more memory."""

PREDICTED_NUMBERS = 2**24
"""Targets x images predicted at a time for one penalty."""


class DualSolver:
    """Ridge through the (n, n) kernel of the features."""

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        weight: np.ndarray,
        mean: np.ndarray,
        gain: np.ndarray,
        target_mean: np.ndarray,
    ) -> None:
        self._targets, self._weight, self._target_mean = targets, weight, target_mean
        self._basis = np.empty(features.shape, np.float32)
        n, p = features.shape
        self._kernel = np.zeros((n, n))
        for start in range(0, p, FEATURE_BLOCK):
            part = slice(start, start + FEATURE_BLOCK)
            scaled = (features[:, part].astype(np.float64) - mean[part]) * gain[part]
            self._kernel += scaled @ scaled.T
            self._basis[:, part] = scaled

    def cross_validate(self, grid: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Held-out squared error (A, V) per penalty, and (V,) of the fold's training mean."""
        from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search

        n, folds = len(fold), int(fold.max()) + 1
        error = np.zeros((len(grid), self._targets.shape[1]))
        baseline = np.zeros(self._targets.shape[1])
        blocks = self._blocks()
        for k in range(folds):
            train, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            kernel = self._centred_kernel(train)
            scale = self._weight[held].sum() * folds
            for number, block in enumerate(blocks):
                progress("cross-validation", k * len(blocks) + number, folds * len(blocks))
                targets = self._centred_targets(train, block)
                baseline[block] += (targets[held] ** 2).sum(axis=0) / scale
                recorder = _SquaredErrors()
                with numpy_backend():
                    solve_multiple_kernel_ridge_random_search(
                        kernel[None],
                        targets,
                        n_iter=np.ones((1, 1)),
                        alphas=grid,
                        score_func=recorder,
                        cv=[(train, held)],
                        return_weights=None,
                        n_targets_batch=max(1, PREDICTED_NUMBERS // n),
                        n_alphas_batch=1,
                        progress_bar=False,
                    )
                error[:, block] += recorder.table(len(grid)) / scale
        progress("cross-validation", folds * len(blocks), folds * len(blocks))
        return error, baseline

    def refit(self, penalties: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Float32 coefficients with `penalties` (V,) on all images: ((p, V), None) or ((n, V), basis)."""
        # One eigendecomposition serves every penalty; himalaya's own solver with a penalty for each
        # target holds an (n, n) matrix per target, 100 GiB at 3,000 images and 1,500 voxels.
        n, p = self._basis.shape
        width = self._targets.shape[1]
        everything = np.arange(n)
        values, vectors = np.linalg.eigh(self._centred_kernel(everything))
        values = np.maximum(values, 0.0)[:, None]
        dual = np.empty((n, width), np.float32)
        root = np.sqrt(self._weight)[:, None]
        for block in track(self._blocks(), "last fit, blocks of targets"):
            rotated = vectors.T @ self._centred_targets(everything, block)
            dual[:, block] = root * (vectors @ (rotated / (values + penalties[block])))
        if p * width <= n * (width + p):
            return self._basis.T @ dual, None
        return dual, self._basis

    def _centred_kernel(self, train: np.ndarray) -> np.ndarray:
        """(n, n) kernel of sqrt(w) (x - weighted mean of `train`)."""
        share = np.zeros(len(self._kernel))
        share[train] = self._weight[train] / self._weight[train].sum()
        to_mean = self._kernel @ share
        centred = self._kernel - to_mean[:, None] - to_mean[None, :] + share @ to_mean
        root = np.sqrt(self._weight)
        centred *= root[:, None]
        centred *= root[None, :]
        return centred

    def _centred_targets(self, train: np.ndarray, block: slice) -> np.ndarray:
        """(n, block) float64 sqrt(w) (y - weighted mean of `train`)."""
        targets = self._targets[:, block].astype(np.float64) - self._target_mean[block]
        targets -= self._weight[train] @ targets[train] / self._weight[train].sum()
        targets *= np.sqrt(self._weight)[:, None]
        return targets

    def _blocks(self) -> list[slice]:
        n, width = self._targets.shape
        size = max(1, WORKING_NUMBERS // n)
        return [slice(start, min(start + size, width)) for start in range(0, width, size)]


class _SquaredErrors:
    """A himalaya score function that keeps every value: himalaya itself returns the best ones only,
    and the best of one fold is not the best of all."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def __call__(self, measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(1, block) negative squared error of `predicted` (1, m, block)."""
        error = ((predicted - measured) ** 2).sum(axis=1)
        self._parts.append(error)
        return -error

    def table(self, n_penalties: int) -> np.ndarray:
        """(A, V): himalaya goes through all targets with one penalty before it takes the next."""
        return np.concatenate(self._parts, axis=1).reshape(n_penalties, -1)


@contextlib.contextmanager
def numpy_backend() -> Iterator[None]:
    """himalaya on numpy; its process-wide choice of backend is put back, whatever happens."""
    from himalaya.backend import get_backend, set_backend

    before = get_backend().name
    set_backend("numpy")
    try:
        yield
    finally:
        set_backend(before)
