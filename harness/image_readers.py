"""Readers behind image sets: positions (n,) -> images (n, H, W, 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ArrayReader:
    """Reads an array (N, H, W, 3) in memory; too large to be sent to another process."""

    images: np.ndarray
    portable = False

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(self.images[positions])


@dataclass(frozen=True)
class PartReader:
    """Reads some of another reader's images: number k is its image ``at[k]``."""

    read: Callable[[np.ndarray], np.ndarray]
    at: np.ndarray

    @property
    def portable(self) -> bool:
        return bool(getattr(self.read, "portable", False))

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        return self.read(self.at[positions])
