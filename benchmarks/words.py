"""Random words that are the same on every machine: counter-based, addressed by name and position.

Philox-4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") gives any block
of its stream at once, so whatever is drawn for one scene or trial does not depend on the others.
Only raw 64-bit words are taken from numpy, whose bit generators promise a fixed stream (NEP 19);
its distributions promise none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@lru_cache(maxsize=256)
def _key(namespace: str) -> tuple[int, int]:
    digest = hashlib.sha256(f"harness embedded 1|{namespace}".encode()).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def words(namespace: str, index: int, count: int, *, stream: int = 0) -> np.ndarray:
    """(count,) uint64 words of position (`index`, `stream`) of `namespace`."""
    counter = np.array([0, 0, stream, index], np.uint64)
    return np.random.Philox(counter=counter, key=np.array(_key(namespace), np.uint64)).random_raw(count)


def uniforms(raw: np.ndarray) -> np.ndarray:
    """Words -> float64 in (0, 1), the middle of 2**53 equal cells; the shape is kept."""
    return ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(raw: np.ndarray) -> np.ndarray:
    """Words (..., 2 n) -> standard normal float64 (..., 2 n), by Box and Muller (1958)."""
    first, second = np.split(raw, 2, axis=-1)
    radius = np.sqrt(-2.0 * np.log(uniforms(first)))
    angle = 2.0 * np.pi * uniforms(second)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


class Draws:
    """Integers, choices and orders taken one after the other from words of one position."""

    def __init__(self, namespace: str, index: int, *, stream: int = 0, count: int = 64) -> None:
        self._words = iter(words(namespace, index, count, stream=stream).tolist())

    def below(self, bound: int) -> int:
        """An integer from 0 to `bound` - 1 (multiply and shift; the bias is below bound / 2**32)."""
        return ((next(self._words) >> 32) * bound) >> 32

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def choose(self, items: Sequence[T], odds: Sequence[int] | None = None) -> T:
        """One of `items`, equally likely or with integer `odds`."""
        if odds is None:
            return items[self.below(len(items))]
        left = self.below(sum(odds))
        for item, share in zip(items, odds, strict=True):
            left -= share
            if left < 0:
                return item
        raise AssertionError("odds must be positive")

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """`items` in random order (Fisher and Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order
