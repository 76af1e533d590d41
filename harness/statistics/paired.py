"""Paired tests on the same images: sign flips, Student's t without skewness, Holm's correction.

Under the hypothesis of a sign-flip test, which of two values of an image came from which side is
arbitrary.  Images are the unit and subjects are held fixed, so an image's labels are swapped in all
subjects at once.  In two-way identification, where each reconstruction chooses among stimuli that both
sides share, a swap touches no other image, and the test stays exact; only intervals need the rivalry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .bootstrap import DRAWS, SIGN_FLIP, block_sizes
from .intervals import LEVEL, Estimate, as_cube, contributions
from .replicates import SeedSpread

EXACT = 12  # up to here all 2^n sign patterns are enumerated


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a - b over the `n` images that have both, with its interval (:mod:`.intervals`).

    p : two-sided, by sign flips, or where seeds are replicates p_t, since flips know of images only.
    p_t : two-sided, that of the interval, so that it is below 0.05 where the 95 % interval excludes 0.
    """

    mean: float
    low: float
    high: float
    p: float
    n: int
    p_t: float = float("nan")


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    *,
    rivalry: np.ndarray | None = None,
    flips: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> PairedDifference:
    """Compare `a` and `b` (N,), values of the same images in the same order.

    rivalry : (N,) a's less b's; see :func:`.intervals.mean_intervals`.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"paired values have shapes {a.shape} and {b.shape}; expected the same (N,)")
    difference = a - b
    finite = np.isfinite(difference)
    return paired_differences(
        difference[finite, None],
        rivalry=None if rivalry is None else np.asarray(rivalry)[finite, None],
        flips=flips,
        seed=seed,
        level=level,
    )[0]


def paired_differences(
    differences: np.ndarray,
    *,
    rivalry: np.ndarray | None = None,
    seeds: Sequence[Sequence[SeedSpread]] | None = None,
    flips: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[PairedDifference, ...]:
    """Interval and tests of each column of `differences`, (N, K) or for S subjects (S, N, K).

    rivalry : like `differences`, a's less b's; see :func:`.intervals.mean_intervals`.
    seeds : for each column the spreads of both sides' seeds, whose mean values were subtracted.
    flips : sign patterns; 1 / (flips + 1) is the smallest p, which a correction over many tests
        multiplies.
    """
    flipped = sign_flip_ps(differences, draws=flips, seed=seed)
    parts_of = zip(*contributions(as_cube(differences), rivalry), strict=True)
    estimates = [(Estimate.of(mean, parts, fewest - 1), len(parts)) for mean, parts, fewest in parts_of]
    return tested(estimates, flipped, seeds, level)


def tested(
    estimates: Sequence[tuple[Estimate, int]],
    flipped: np.ndarray,
    seeds: Sequence[Sequence[SeedSpread]] | None,
    level: float,
) -> tuple[PairedDifference, ...]:
    """Differences from their `estimates` and numbers of images, with `flipped` (K,) p of sign flips."""
    tests = []
    for k, ((estimate, n), p) in enumerate(zip(estimates, flipped, strict=True)):
        spreads = () if seeds is None else seeds[k]
        widened = estimate.with_seeds(spreads)
        p_t = widened.p()
        bounds = widened.bounds(level)
        tests.append(PairedDifference(estimate.mean, *bounds, p_t if spreads else float(p), n, p_t))
    return tuple(tests)


def sign_flip_p(differences: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> float:
    """:func:`sign_flip_ps` of one column (N,)."""
    return float(sign_flip_ps(np.asarray(differences)[:, None], draws=draws, seed=seed)[0])


def sign_flip_ps(matrix: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(K,) two-sided p of a zero mean when the sign of each image's difference is arbitrary.

    matrix : differences (N, K), or (S, N, K) for the mean over S subjects of their means.
    Exact for up to 12 images; else from `draws` random patterns, shared by all columns, with the
    observed one counted among them (Phipson & Smyth 2010), so never below 1 / (draws + 1).  NaN is
    no difference; a column (of any subject) of nothing else has p NaN.
    """
    matrix, tested = _contributions(matrix)
    n = len(matrix)
    # Patterns whose sum is equal in exact arithmetic may differ by rounding.
    bound = np.abs(matrix.sum(axis=0)) - 1e-12 * np.abs(matrix).sum(axis=0)
    if n <= EXACT:
        signs = 1.0 - 2.0 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)
        p = (np.abs(signs @ matrix) >= bound).mean(axis=0)
    else:
        generator = np.random.default_rng([SIGN_FLIP, seed])
        extreme = np.ones(matrix.shape[1])
        for size in block_sizes(n, draws):
            signs = generator.integers(0, 2, size=(size, n), dtype=np.int8).astype(np.float64)
            extreme += (np.abs((2.0 * signs - 1.0) @ matrix) >= bound).sum(axis=0)
        p = extreme / (draws + 1)
    return np.where(tested, p, np.nan)


def holm(pvalues: Sequence[float] | np.ndarray) -> np.ndarray:
    """Family-wise adjusted p-values (Holm 1979), in the order given; NaN is no member of the family."""
    pvalues = np.asarray(pvalues, np.float64)
    adjusted = np.full(pvalues.shape, np.nan)
    family = np.flatnonzero(~np.isnan(pvalues))
    order = family[np.argsort(pvalues[family], kind="stable")]
    scaled = pvalues[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _contributions(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) what each image adds to the sum that is tested, and (K,) whether there is one."""
    matrix = np.asarray(matrix, np.float64)
    finite = np.isfinite(matrix)
    matrix = np.where(finite, matrix, 0.0)  # a missing difference adds 0 under either sign
    if matrix.ndim == 2:
        return matrix, finite.any(axis=0)
    counts = finite.sum(axis=1)  # (S, K)
    shares = matrix / np.maximum(counts, 1)[:, None]
    return shares.sum(axis=0), (counts > 0).all(axis=0)
