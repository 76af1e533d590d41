"""Scores of one pair of embeddings, whatever the others are: correlation distance and cosine."""

from __future__ import annotations

import numpy as np

from .identification import correlation_distance


def distance(result: np.ndarray, target: np.ndarray, *, device: str | None = None) -> np.ndarray:
    """(N,) 1 - Pearson correlation over features of `result` and `target` (N, D); NaN for a row with NaN."""
    values = correlation_distance(result, target, device=device)
    return np.where(np.isfinite(result).all(axis=1) & np.isfinite(target).all(axis=1), values, np.nan)


def cosine_similarity(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) cosine of each row pair of (N, D), in float64; 0 where a row is zero."""
    first, second = (np.asarray(rows, np.float64) for rows in (result, target))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("nd,nd->n", first, second)
    with np.errstate(invalid="ignore"):  # infinity over infinity, NaN below
        values = np.divide(products, norms, out=np.zeros(len(first)), where=norms > 0)
    return np.where(np.isfinite(norms), values, np.nan)
