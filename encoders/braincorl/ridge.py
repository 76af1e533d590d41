"""The ridge whose weights BraInCoRL's are compared with while it learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def averaged_ridge(
    embeddings: np.ndarray, responses: np.ndarray, *, penalties: Sequence[float], folds: int = 5
) -> np.ndarray:
    """Weights (V, E + 1), the bias last, for embeddings (n, E) and responses (n, V).

    Folds are consecutive and of equal length, and images that are left over are never held out; a column of
    ones is penalised with the others; each voxel takes the penalty of largest mean explained variance; the
    weights are the mean over folds, not fitted anew.
    """
    x = np.concatenate([embeddings, np.ones((len(embeddings), 1))], axis=1).astype(np.float64)
    y = np.asarray(responses, np.float64)
    size = len(x) // folds
    weights = np.empty((len(penalties), folds, x.shape[1], y.shape[1]))
    explained = np.empty((len(penalties), folds, y.shape[1]))
    for fold in range(folds):
        out = np.zeros(len(x), bool)
        out[fold * size : (fold + 1) * size] = True
        values, vectors = np.linalg.eigh(x[~out].T @ x[~out])
        against = vectors.T @ (x[~out].T @ y[~out])
        for number, penalty in enumerate(penalties):
            weights[number, fold] = vectors @ (against / (values + penalty)[:, None])
            error = y[out] - x[out] @ weights[number, fold]
            explained[number, fold] = 1 - error.var(axis=0) / np.maximum(y[out].var(axis=0), 1e-30)
    best = explained.mean(axis=1).argmax(axis=0)
    return weights.mean(axis=1)[best, :, np.arange(y.shape[1])]
