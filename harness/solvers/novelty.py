"""How far images lie from those that a model was fitted on, in the features that it looks at."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..nn.constancy import is_constant, spread

NEIGHBOURS = 5
"""Training images whose distance is averaged: the nearest one alone may be a copy."""

BLOCK = 256


def novelty(training: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,) of each of `images` (N, p) to `training` (M, p), and (N,) the share of training images
    that lie farther from the others than it does.

    The distance is the mean Euclidean one to the five nearest training images, features scaled by their
    spread over the training images, divided by the median of the same distance among training images: 1 is
    as usual, and a share of 0 is farther out than any training image.  A feature that is constant in training
    counts unscaled, so that what was never seen to vary still shows.

    Raises
    ------
    DataError
        Fewer than three training images, or features of different lengths.
    """
    training, images = (np.asarray(part, np.float64) for part in (training, images))
    if training.ndim != 2 or images.ndim != 2 or training.shape[1] != images.shape[1] or len(training) < 3:
        raise DataError(
            f"cannot measure images of shape {images.shape} from training images of shape {training.shape}; "
            "expected (N, p) and (at least 3, p) of the same features"
        )
    mean, sd = spread(training)
    scale = np.where(is_constant(sd, mean), 1.0, sd)
    training, images = (training - mean) / scale, (images - mean) / scale
    among = _to_nearest(training, training, own=True)
    usual = np.median(among)
    outer = _to_nearest(images, training, own=False)
    shares = 1 - np.searchsorted(np.sort(among), outer, side="right") / len(among)
    return (outer / usual if usual > 0 else np.where(outer > 0, np.inf, 1.0)), shares


def _to_nearest(images: np.ndarray, training: np.ndarray, *, own: bool) -> np.ndarray:
    """(N,) mean distance to the nearest of `training`; with `own`, image n is the n-th and left out."""
    squares = (training**2).sum(axis=1)
    count = min(NEIGHBOURS, len(training) - own)
    out = np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        block = images[start : start + BLOCK]
        distances = (block**2).sum(axis=1)[:, None] - 2 * block @ training.T + squares
        if own:
            rows = np.arange(len(block))
            distances[rows, start + rows] = np.inf
        nearest = np.partition(distances, count - 1, axis=1)[:, :count]
        out[start : start + BLOCK] = np.sqrt(np.clip(nearest, 0, None)).mean(axis=1)
    return out
