"""Seeds that depend on what an image is, never on where or when it is processed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def image_seeds(run_seed: int, ids: Sequence[str], sample: int, *, draw: int = 0) -> np.ndarray:
    """(N,) uint64 = hash(run seed, image id, sample), shared by measured and predicted rows.

    draw : another number gives other seeds, for what must share no noise with those rows.
    """
    end = f"|draw {draw}" if draw else ""
    return np.array([_seed(f"{run_seed}|{name}|{sample}{end}") for name in ids], np.uint64)


def sample_seeds(run_seed: int, ids: Sequence[str], samples: int) -> np.ndarray:
    """(N, S) uint64: one column of :func:`image_seeds` per sample."""
    return np.stack([image_seeds(run_seed, ids, sample) for sample in range(samples)], axis=1)


def subset(ids: Sequence[str], limit: int) -> tuple[str, ...]:
    """`limit` of `ids`, in their order: those whose hashes come first.

    The first N images of a list are a biased sample; a hash order is not, it is the same for every
    model, and a smaller subset lies inside a larger one.
    """
    chosen = set(sorted(ids, key=lambda name: hashlib.sha256(f"subset|{name}".encode()).digest())[:limit])
    return tuple(name for name in ids if name in chosen)


def cyclic_order(ids: Sequence[str], copies: np.ndarray | None = None) -> np.ndarray:
    """(N,) positions in a pseudo-random order that depends on the ids alone.

    copies : (N,) numbers that are equal for images of equal content, which then stand side by side.
    """
    keys = [hashlib.sha256(f"derangement|{name}".encode()).digest() for name in ids]
    order = np.array(sorted(range(len(ids)), key=keys.__getitem__), np.int64)
    if copies is None:
        return order
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    _, group = np.unique(copies, return_inverse=True)
    first = np.full(group.max(initial=-1) + 1, len(order))
    np.minimum.at(first, group, rank)
    return np.lexsort((rank, first[group]))


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
