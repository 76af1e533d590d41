"""Do two scores put systems in the same order?  Kendall's tau-b with its interval over images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 2000
BLOCK = 200
"""Bootstrap draws held at a time."""


@dataclass(frozen=True)
class Tau:
    """tau-b (Kendall 1945) and its 95 % interval; NaN where fewer than two systems differ."""

    value: float
    low: float
    high: float


def tau_b(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(...,) tau-b of the last axes of `first` and `second` (..., E); NaN where all of either are equal."""
    a, b = (np.sign(side[..., :, None] - side[..., None, :]) for side in (first, second))
    both, of_a, of_b = ((x * y).sum(axis=(-2, -1)) for x, y in ((a, b), (a, a), (b, b)))
    scale = np.sqrt(of_a * of_b)
    return np.divide(both, scale, out=np.full(np.shape(both), np.nan), where=scale > 0)


def order_agreement(first: np.ndarray, second: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> Tau:
    """tau-b of the means of `first` and `second` over images.

    first : (N, E) what each image gives each of E systems.  second : the same images, or (E,) values that are
        known.  Images that some system lacks are left out of both.

    The interval is of percentiles over bootstrap draws of images, the same for both sides; none where both
    are (E,), or fewer than two images are left.
    """
    sides = [np.asarray(side, np.float64) for side in (first, second)]
    scored = [side for side in sides if side.ndim == 2]
    kept = (
        np.logical_and.reduce([np.isfinite(side).all(axis=1) for side in scored])
        if scored
        else np.zeros(0, bool)
    )
    sides = [side[kept] if side.ndim == 2 else side for side in sides]
    means = [side.mean(axis=0) if side.ndim == 2 and len(side) else side for side in sides]
    if any(side.ndim != 1 for side in means):
        return Tau(np.nan, np.nan, np.nan)
    value, n = float(tau_b(*means)), int(kept.sum())
    if n < 2 or not np.isfinite(value):
        return Tau(value, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    drawn = []
    for start in range(0, draws, BLOCK):
        count = min(BLOCK, draws - start)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=count) / n
        moved = [
            weights @ side if side.ndim == 2 else np.broadcast_to(side, (count, len(side))) for side in sides
        ]
        drawn.append(tau_b(*moved))
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5])
    return Tau(value, float(low), float(high))
