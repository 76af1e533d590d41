"""Noise of single trials: shared among neighbouring voxels, drifting through a run, correlated in time.

Betas of an event-related experiment keep a trace of the trial before (responses of neighbouring trials
overlap) and of slow changes (arousal, motion, the scanner) that z-scoring a session leaves in.  Here a
run is :data:`RUN` consecutive images of one series, each shown once.  Within it the noise is a
first-order autoregression of unit variance, and a slow component whose mean over the run is zero, so
that a session has no offset.  The repeats of an image lie in different runs: their noise is independent,
and the noise ceiling is what it is said to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .words import normals, words

NOISE_RANK = 12
NOISE_CORRELATION = 0.35
"""Share of the noise variance (without drift) that neighbouring voxels have in common."""
RUN = 25
"""Consecutive images of a series that are shown in one run."""
_SHAPES = 2  # slow shapes of a run: a line and a half wave around its middle


def white_noise(
    name: str, indices: Sequence[int], repeat: int, loadings: np.ndarray, *, carry: float = 0.0
) -> np.ndarray:
    """(n, V) of unit variance, independent from trial to trial, or with `carry` from the one before.

    loadings : (V, NOISE_RANK) of unit length, of the noise that voxels share.
    """
    if not carry:
        return _innovations(name, indices, repeat, loadings)
    indices = np.asarray(indices, np.int64)
    out = np.empty((len(indices), len(loadings)))
    for run in np.unique(indices // RUN):
        rows = np.flatnonzero(indices // RUN == run)
        steps = indices[rows] % RUN
        fresh = _innovations(name, range(run * RUN, run * RUN + steps.max() + 1), repeat, loadings)
        for step in range(1, len(fresh)):
            fresh[step] = carry * fresh[step - 1] + math.sqrt(1 - carry**2) * fresh[step]
        out[rows] = fresh[steps]
    return out


def drift(name: str, indices: Sequence[int], repeat: int, loadings: np.ndarray) -> np.ndarray:
    """(n, V) slow component, of unit variance and zero mean over each run.

    Every run has its own pattern over the cortex for each of two shapes in time.
    """
    indices = np.asarray(indices, np.int64)
    out = np.empty((len(indices), len(loadings)))
    shapes = _slow_shapes()
    for run in np.unique(indices // RUN):
        rows = np.flatnonzero(indices // RUN == run)
        count = _SHAPES * loadings.shape[1]
        scores = normals(words(f"{name}|drift", int(run), count, stream=repeat)).reshape(_SHAPES, -1)
        out[rows] = shapes[indices[rows] % RUN] @ (scores @ loadings.T)
    return out


def _innovations(name: str, indices: Sequence[int], repeat: int, loadings: np.ndarray) -> np.ndarray:
    n_voxels, rank = loadings.shape
    count = rank + n_voxels + n_voxels % 2
    values = normals(np.stack([words(name, int(index), count, stream=repeat) for index in indices]))
    shared = values[:, :rank] @ loadings.T
    private = values[:, rank : rank + n_voxels]
    return math.sqrt(NOISE_CORRELATION) * shared + math.sqrt(1 - NOISE_CORRELATION) * private


def _slow_shapes() -> np.ndarray:
    """(RUN, 2) orthogonal shapes of zero mean whose squares sum to RUN together."""
    time = (np.arange(RUN) + 0.5) / RUN
    shapes = np.stack([np.cos(np.pi * time), np.cos(2 * np.pi * time)], axis=1)  # of a cosine transform
    return shapes / np.sqrt((shapes**2).sum(axis=0) * _SHAPES / RUN)
