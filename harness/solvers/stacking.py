"""Stacked regression: one prediction of several, weighted for every target, and what each of them adds.

Lin, Naselaris, Kay & Wehbe 2024 (PLOS Comp Biol, "Stacked regressions and structured variance
partitioning"): the weights are not negative, sum to 1 and minimise the squared error of predictions of
held-out images.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..errors import ConfigError

MOST = 10
"""Predictions that are stacked at most; every subset of them is tried."""
EDGE = 1e-12
"""Of the mean diagonal, added to it: two equal predictions share their weight."""


def stacking_weights(errors: np.ndarray) -> np.ndarray:
    """(V, F) weights for errors (F, N, V) of F predictions of V targets on held-out images.

    Of all subsets whose best weights are positive, the one of least error: exact for few predictions.
    """
    count, images, targets = errors.shape
    if not 1 <= count <= MOST:
        raise ConfigError(f"{count} predictions cannot be stacked; expected 1 to {MOST}")
    products = np.einsum("inv,jnv->vij", errors, errors, dtype=np.float64, optimize=True) / images
    size = np.trace(products, axis1=1, axis2=2) / count
    products += (EDGE * size + np.finfo(np.float64).tiny)[:, None, None] * np.eye(count)
    best, weights = np.full(targets, np.inf), np.zeros((targets, count))
    for length in range(1, count + 1):
        for subset in itertools.combinations(range(count), length):
            part = products[:, subset][:, :, subset]
            free = np.linalg.solve(part, np.ones((targets, length, 1)))[..., 0]
            own = free / free.sum(axis=1, keepdims=True)
            value = np.einsum("vi,vij,vj->v", own, part, own)
            better = np.flatnonzero((own >= 0).all(axis=1) & (value < best))
            best[better] = value[better]
            weights[better] = 0
            weights[np.ix_(better, subset)] = own[better]
    return weights


def unique_shares(errors: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R^2 (V,) of the stack, and (F, V) what it loses when it is stacked anew without each prediction.

    errors : (F, N, V) on held-out images.  variance : (V,) of the targets there.
    """

    def explained(part: np.ndarray) -> np.ndarray:
        stacked = np.einsum("fnv,vf->nv", part, stacking_weights(part))
        return 1 - np.square(stacked).mean(axis=0) / np.where(variance > 0, variance, np.nan)

    whole = explained(errors)
    if len(errors) == 1:
        return whole, whole[None]
    others = [explained(np.delete(errors, number, axis=0)) for number in range(len(errors))]
    return whole, whole - np.stack(others)
