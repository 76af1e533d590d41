"""Representational dissimilarity: matrices of patterns, their comparison, and the noise ceiling.

An RDM is its upper triangle, row by row: (pairs,) for N images, N (N - 1) / 2 of them.  Comparisons are
Spearman's (Kriegeskorte, Mur and Bandettini 2008); the ceiling is that of Nili et al. 2014: how well the mean
of the subjects' rank-transformed RDMs does on each of them, with it (upper) and without it (lower).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import ConfigError, DataError, suggest

DISTANCES = ("correlation", "euclidean", "cosine")


def rdm(patterns: np.ndarray, *, distance: str = "correlation") -> np.ndarray:
    """(pairs,) float64 dissimilarities of `patterns` (N, ...): 1 - Pearson's r, Euclidean, or 1 - cosine.

    Raises
    ------
    ConfigError
        Another `distance`.
    DataError
        A pattern without variation, which correlates with nothing.
    """
    from scipy.spatial.distance import pdist

    if distance not in DISTANCES:
        raise ConfigError(suggest(distance, DISTANCES, what="distance"))
    flat = np.asarray(patterns, np.float64).reshape(len(patterns), -1)
    dissimilarities = pdist(flat, distance)
    if not np.isfinite(dissimilarities).all():
        raise DataError("a pattern does not vary, so that its dissimilarity is not defined; try euclidean")
    return dissimilarities


def label_rdm(labels: Sequence[object]) -> np.ndarray:
    """(pairs,) 1 where two images have different `labels`, else 0."""
    values = np.unique(np.asarray(labels), return_inverse=True)[1]
    return (values[:, None] != values[None]).astype(np.float64)[np.triu_indices(len(values), 1)]


def ranked(rdms: np.ndarray) -> np.ndarray:
    """(..., pairs) ranks, ties at their mean."""
    from scipy.stats import rankdata

    return rankdata(rdms, axis=-1)


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation of two RDMs (pairs,); 0 where one is constant."""
    a, b = (ranks - ranks.mean() for ranks in (ranked(first), ranked(second)))
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm else 0.0


def of_subjects(measured: Mapping[str, np.ndarray]) -> np.ndarray:
    """(R, pairs) one RDM for each subject of (sessions, pairs): the mean of its sessions' ranks."""
    return np.stack([ranked(np.atleast_2d(sessions)).mean(axis=0) for sessions in measured.values()])


def noise_ceiling(subjects: np.ndarray) -> tuple[float, float]:
    """Lower and upper bound of the mean correlation with `subjects` (R, pairs) that any model can reach.

    Raises
    ------
    DataError
        Fewer than two subjects.
    """
    if len(subjects) < 2:
        raise DataError(f"a noise ceiling needs two subjects or more; there is {len(subjects)}")
    ranks = ranked(subjects)
    total = ranks.sum(axis=0)
    lower = [spearman(own, total - rank) for own, rank in zip(subjects, ranks)]
    upper = [spearman(own, total) for own in subjects]
    return float(np.mean(lower)), float(np.mean(upper))


def mean_rdm(measured: Mapping[str, np.ndarray]) -> np.ndarray:
    """(pairs,) mean of the subjects' dissimilarities, each the mean of its sessions."""
    return np.mean([np.atleast_2d(sessions).mean(axis=0) for sessions in measured.values()], axis=0)


def similarity(model: np.ndarray, subjects: np.ndarray) -> float:
    """Mean Spearman correlation of a model's RDM with those of `subjects` (R, pairs), which the ceiling
    bounds."""
    return float(np.mean([spearman(model, own) for own in subjects]))
