"""Do two scores put systems in the same order?  Kendall's tau-b with its interval over images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    drawn = []
    for weights in _weights(n, draws, seed):
        moved = [
            weights @ side if side.ndim == 2 else np.broadcast_to(side, (len(weights), len(side)))
            for side in sides
        ]
        drawn.append(tau_b(*moved))
    low, high = np.nanpercentile(np.concatenate(drawn), [2.5, 97.5])
    return Tau(value, float(low), float(high))


def order_agreements(
    values: np.ndarray,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Tau]:
    """:func:`order_agreement` of many pairs of sides, which share the draws of images.

    values : (N, M) what each image gives each of M systems.  pairs : columns of one side and of the other, E
    of each, in the same order.  Where some image is missing, pairs are computed by themselves.
    """
    values = np.asarray(values, np.float64)
    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return [
            order_agreement(values[:, list(a)], values[:, list(b)], draws=draws, seed=seed) for a, b in pairs
        ]
    means = values.mean(axis=0)
    moved = np.concatenate([weights @ values for weights in _weights(n, draws, seed)])
    signs: dict[tuple[int, ...], tuple[np.ndarray, np.ndarray]] = {}
    taus = []
    for pair in pairs:
        value = float(tau_b(*(means[list(side)] for side in pair)))
        if not np.isfinite(value):
            taus.append(Tau(value, np.nan, np.nan))
            continue
        for side in map(tuple, pair):
            if side not in signs:
                signs[side] = _signs(moved[:, side])
        (a, of_a), (b, of_b) = (signs[tuple(side)] for side in pair)
        scale = np.sqrt(of_a * of_b)
        both = np.einsum("dp,dp->d", a, b, dtype=np.int64).astype(np.float64)
        drawn = np.divide(both, scale, out=np.full(len(both), np.nan), where=scale > 0)
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        taus.append(Tau(value, float(low), float(high)))
    return taus


def _weights(n: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (b, n): share of each image in each draw."""
    rng = np.random.default_rng(seed)
    for start in range(0, draws, BLOCK):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(BLOCK, draws - start)) / n


def _signs(moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(draws, pairs of systems) int8 which is above, and (draws,) how many pairs are not equal."""
    first, second = np.triu_indices(moved.shape[1], k=1)
    signs = np.sign(moved[:, first] - moved[:, second]).astype(np.int8)
    return signs, np.count_nonzero(signs, axis=1).astype(np.float64)
