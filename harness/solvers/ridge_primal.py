"""Ridge through the moments of the features, for fewer features than images.

One float64 eigendecomposition of X'X per fold serves all penalties and all targets (Hoerl and
Kennard 1970; Hastie, Tibshirani and Friedman 2009, section 3.4.1), and one triangle of the held-out
features all of their errors.  See :mod:`harness.solvers.ridge` for
what is minimised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..api import track

TARGET_BLOCK = 2048
"""Targets handled at a time; bounds the working memory to a few (images, block) float64 arrays."""

ROW_BLOCK = 4096


class PrimalSolver:
    """Ridge through the (p, p) moments of the features, for p < n.

    Moments are summed in float64 over blocks of rows and per fold; a fold's training moments are
    the total minus its own, re-centred at the training part's weighted mean.
    """

    def __init__(
        self,
        features: np.ndarray,
        targets: np.ndarray,
        weight: np.ndarray,
        mean: np.ndarray,
        gain: np.ndarray,
        target_mean: np.ndarray,
    ) -> None:
        self._features, self._targets, self._weight = features, targets, weight
        self._mean, self._gain, self._target_mean = mean, gain, target_mean
        self._moments: tuple[np.ndarray, np.ndarray] | None = None  # of all images, once they are known

    def cross_validate(self, grid: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Held-out squared error (A, V) per penalty, and (V,) of the fold's training mean."""
        numbers = range(int(fold.max()) + 1)
        rows = [np.flatnonzero(fold == k) for k in numbers]
        grams = [self._gram(r) for r in rows]
        sums = [self._weight[r] @ self._scaled(r) for r in rows]
        total, total_sum = np.sum(grams, axis=0), np.sum(sums, axis=0)
        folds = []
        for k in track(numbers, "cross-validation, folds"):
            train_weight = self._weight.sum() - self._weight[rows[k]].sum()
            centre = (total_sum - sums[k]) / train_weight
            grams[k] = total - grams[k] - train_weight * np.outer(centre, centre)
            values, vectors = np.linalg.eigh(grams[k])
            root = np.sqrt(self._weight[rows[k]] / self._weight[rows[k]].sum())[:, None]
            design = (root * (self._scaled(rows[k]) - centre)) @ vectors
            folds.append(
                _Fold.reduced(rows[k], train_weight, centre, root, _positive(values), vectors, design)
            )
            grams[k] = None
        width = self._targets.shape[1]
        error, baseline = np.zeros((len(grid), width)), np.zeros(width)
        everything = np.empty((self._features.shape[1], width))
        for block in track(_blocks(width), "cross-validation, blocks of targets"):
            crosses = [self._cross(r, block) for r in rows]
            sums = [self._weight[r] @ self._centred_targets(r, block) for r in rows]
            everything[:, block], total_sum = np.sum(crosses, axis=0), np.sum(sums, axis=0)
            for k, held in enumerate(folds):
                target_centre = (total_sum - sums[k]) / held.train_weight
                cross = everything[:, block] - crosses[k]
                cross -= held.train_weight * np.outer(held.centre, target_centre)
                targets = held.root * (self._centred_targets(held.rows, block) - target_centre)
                baseline[block] += (targets**2).sum(axis=0) / len(rows)
                error[:, block] += held.errors(grid, held.vectors.T @ cross, targets) / len(rows)
        self._moments = total, everything
        return error, baseline

    def refit(self, penalties: np.ndarray) -> tuple[np.ndarray, None]:
        """((p, V) float32 coefficients, None) with `penalties` (V,) on all images."""
        every_row = np.arange(len(self._features))
        gram, crosses = self._moments or (self._gram(every_row), None)
        values, vectors = np.linalg.eigh(gram)
        out = np.empty((self._features.shape[1], self._targets.shape[1]), np.float32)
        for block in track(_blocks(self._targets.shape[1]), "last fit, blocks of targets"):
            cross = self._cross(every_row, block) if crosses is None else crosses[:, block]
            rotated = vectors.T @ cross
            out[:, block] = vectors @ (rotated / (_positive(values)[:, None] + penalties[block]))
        return out, None

    def _scaled(self, rows: np.ndarray) -> np.ndarray:
        return (self._features[rows].astype(np.float64) - self._mean) * self._gain

    def _centred_targets(self, rows: np.ndarray, block: slice) -> np.ndarray:
        return self._targets[rows, block].astype(np.float64) - self._target_mean[block]

    def _gram(self, rows: np.ndarray) -> np.ndarray:
        p = self._features.shape[1]
        gram = np.zeros((p, p))
        for start in range(0, len(rows), ROW_BLOCK):
            part = rows[start : start + ROW_BLOCK]
            scaled = self._scaled(part)
            gram += scaled.T @ (self._weight[part, None] * scaled)
        return gram

    def _cross(self, rows: np.ndarray, block: slice) -> np.ndarray:
        cross = np.zeros((self._features.shape[1], len(range(*block.indices(self._targets.shape[1])))))
        for start in range(0, len(rows), ROW_BLOCK):
            part = rows[start : start + ROW_BLOCK]
            cross += self._scaled(part).T @ (self._weight[part, None] * self._centred_targets(part, block))
        return cross


@dataclass(frozen=True, eq=False)
class _Fold:
    """One fold's held-out rows in the eigenbasis of its training part; rows carry sqrt(weight).

    rows (m,), root (m, 1) ; centre (p,), values (p,), vectors (p, p) and train_weight of the training part.
    design : (m, p); or, of more rows than features, its triangle (p, p) with `basis` (m, p).
    """

    rows: np.ndarray
    train_weight: float
    centre: np.ndarray
    root: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    design: np.ndarray
    basis: np.ndarray | None

    @classmethod
    def reduced(
        cls,
        rows: np.ndarray,
        train_weight: float,
        centre: np.ndarray,
        root: np.ndarray,
        values: np.ndarray,
        vectors: np.ndarray,
        design: np.ndarray,
    ) -> _Fold:
        basis = None
        if design.shape[0] > design.shape[1]:
            # What the design's columns cannot reach is the same for every penalty: rotate it away, and each
            # penalty costs half of p rows, since a triangle is left, in place of all held-out images.
            basis, design = np.linalg.qr(design)
            design = np.asfortranarray(design)
        return cls(rows, train_weight, centre, root, values, vectors, design, basis)

    def errors(self, grid: np.ndarray, cross: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(A, block) held-out squared error of each penalty, of `targets` (m, block), whose moments with the
        training part, rotated, are `cross` (p, block)."""
        rest = np.zeros(targets.shape[1])
        if self.basis is not None:
            length = (targets**2).sum(axis=0)
            targets = self.basis.T @ targets
            rest = np.maximum(length - (targets**2).sum(axis=0), 0)
        out = np.empty((len(grid), targets.shape[1]))
        for a, penalty in enumerate(grid):
            residual = targets - self._predicted(cross / (self.values[:, None] + penalty))
            out[a] = np.einsum("ij,ij->j", residual, residual) + rest
        return out

    def _predicted(self, weights: np.ndarray) -> np.ndarray:
        """design @ `weights` (p, block), which are overwritten."""
        from scipy.linalg.blas import dtrmm

        if self.basis is None:
            return self.design @ weights
        # BLAS counts columns first: to it `weights` is its transpose, multiplied from the right in place.
        return dtrmm(1.0, self.design, weights.T, side=1, trans_a=1, overwrite_b=1).T


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)  # a semi-definite matrix's eigenvalues, below 0 by rounding only


def _blocks(width: int) -> list[slice]:
    return [slice(start, min(start + TARGET_BLOCK, width)) for start in range(0, width, TARGET_BLOCK)]
