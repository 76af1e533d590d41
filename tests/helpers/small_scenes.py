"""Small scenes to fit on."""

from __future__ import annotations

import numpy as np


def scenes(n: int, *, seed: int, side: int = 12) -> np.ndarray:
    """(n, side, side + 4, 3) uint8: coloured blocks, so neighbouring pixels go together."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, side // 4, side // 4 + 1, 3))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
