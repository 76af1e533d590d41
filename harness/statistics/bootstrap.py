"""Resamples of images with replacement, as copies per image (Efron & Tibshirani 1993, ch. 6)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

DRAWS = 10_000
BLOCK = 1 << 20  # weights or signs held at once

# Streams of random numbers that share a seed but nothing else.
BOOTSTRAP, SIGN_FLIP = 1, 2


def bootstrap_weights(n: int, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(draws, n) float32: how often each of n images is in each resample of n."""
    return np.concatenate([*_weight_blocks(n, draws, seed), np.empty((0, n), np.float32)])


def block_sizes(n: int, draws: int) -> Iterator[int]:
    """Rows of n numbers, `draws` in all, few enough at once to stay in the cache."""
    step = max(1, BLOCK // max(1, n))
    for start in range(0, draws, step):
        yield min(step, draws - start)


def _weight_blocks(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (b, n) of :func:`bootstrap_weights`."""
    generator = np.random.default_rng([BOOTSTRAP, seed])
    for size in block_sizes(n, draws):
        drawn = generator.integers(0, n, size=(size, n)) if n else np.empty((size, 0), np.int64)
        cells = drawn + n * np.arange(size)[:, None]
        yield np.bincount(cells.ravel(), minlength=size * n).reshape(size, n).astype(np.float32)
