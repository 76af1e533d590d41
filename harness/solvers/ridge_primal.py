"""Ridge through the moments of the features, for fewer features than images.

One float64 eigendecomposition of X'X per fold serves all penalties and all targets (Hoerl and
Kennard 1970; Hastie, Tibshirani and Friedman 2009, section 3.4.1).  See :mod:`harness.solvers.ridge` for
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

    def cross_validate(self, grid: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Held-out squared error (A, V) per penalty, and (V,) of the fold's training mean."""
        numbers = range(int(fold.max()) + 1)
        rows = [np.flatnonzero(fold == k) for k in numbers]
        grams = [self._gram(r) for r in rows]
        sums = [self._weight[r] @ self._scaled(r) for r in rows]
        total, total_sum = np.sum(grams, axis=0), np.sum(sums, axis=0)
        rotations = []
        for k in track(numbers, "cross-validation, folds"):
            train_weight = self._weight.sum() - self._weight[rows[k]].sum()
            centre = (total_sum - sums[k]) / train_weight
            gram = total - grams[k] - train_weight * np.outer(centre, centre)
            rotations.append((centre, *np.linalg.eigh(gram)))
        error = np.zeros((len(grid), self._targets.shape[1]))
        baseline = np.zeros(self._targets.shape[1])
        for block in track(_blocks(self._targets.shape[1]), "cross-validation, blocks of targets"):
            crosses = [self._cross(r, block) for r in rows]
            target_sums = [self._weight[r] @ self._centred_targets(r, block) for r in rows]
            for k in numbers:
                held = self._held_out(rows[k], block, rotations[k], crosses, target_sums, k)
                error[:, block] += held.errors(grid) / len(rows)
                baseline[block] += held.baseline / len(rows)
        return error, baseline

    def refit(self, penalties: np.ndarray) -> tuple[np.ndarray, None]:
        """((p, V) float32 coefficients, None) with `penalties` (V,) on all images."""
        everything = np.arange(len(self._features))
        values, vectors = np.linalg.eigh(self._gram(everything))
        out = np.empty((self._features.shape[1], self._targets.shape[1]), np.float32)
        for block in track(_blocks(self._targets.shape[1]), "last fit, blocks of targets"):
            rotated = vectors.T @ self._cross(everything, block)
            out[:, block] = vectors @ (rotated / (_positive(values)[:, None] + penalties[block]))
        return out, None

    def _held_out(
        self,
        rows: np.ndarray,
        block: slice,
        rotation: tuple[np.ndarray, np.ndarray, np.ndarray],
        crosses: list[np.ndarray],
        target_sums: list[np.ndarray],
        k: int,
    ) -> _HeldOut:
        centre, values, vectors = rotation
        train_weight = self._weight.sum() - self._weight[rows].sum()
        target_centre = (np.sum(target_sums, axis=0) - target_sums[k]) / train_weight
        cross = np.sum(crosses, axis=0) - crosses[k] - train_weight * np.outer(centre, target_centre)
        root = np.sqrt(self._weight[rows] / self._weight[rows].sum())[:, None]
        return _HeldOut.reduced(
            design=(root * (self._scaled(rows) - centre)) @ vectors,
            targets=root * (self._centred_targets(rows, block) - target_centre),
            values=_positive(values),
            cross=vectors.T @ cross,
        )

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
class _HeldOut:
    """One fold's held-out rows in the eigenbasis of its training part; rows carry sqrt(weight)."""

    design: np.ndarray  # (m, p)
    targets: np.ndarray  # (m, block)
    values: np.ndarray  # (p,)
    cross: np.ndarray  # (p, block)
    rest: np.ndarray  # (block,) squared length of the targets outside the design's span
    baseline: np.ndarray  # (block,)

    @classmethod
    def reduced(
        cls, *, design: np.ndarray, targets: np.ndarray, values: np.ndarray, cross: np.ndarray
    ) -> _HeldOut:
        baseline = (targets**2).sum(axis=0)
        rest = np.zeros(targets.shape[1])
        if design.shape[0] > design.shape[1]:
            # What the design's columns cannot reach is the same for every penalty: rotate it away,
            # and each penalty costs p rows instead of all held-out images.
            basis, design = np.linalg.qr(design)
            targets = basis.T @ targets
            rest = np.maximum(baseline - (targets**2).sum(axis=0), 0)
        return cls(design, targets, values, cross, rest, baseline)

    def errors(self, grid: np.ndarray) -> np.ndarray:
        """(A, block) held-out squared error of each penalty."""
        out = np.empty((len(grid), self.targets.shape[1]))
        for a, penalty in enumerate(grid):
            residual = self.targets - self.design @ (self.cross / (self.values[:, None] + penalty))
            out[a] = np.einsum("ij,ij->j", residual, residual) + self.rest
        return out


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)  # a semi-definite matrix's eigenvalues, below 0 by rounding only


def _blocks(width: int) -> list[slice]:
    return [slice(start, min(start + TARGET_BLOCK, width)) for start in range(0, width, TARGET_BLOCK)]
