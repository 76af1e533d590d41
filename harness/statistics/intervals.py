"""Confidence intervals of means over images that hold in small samples, with the subjects held fixed.

Let u_i be what image i adds to a mean over N images (below), se = sqrt(sum u_i² / (N (N - 1))) and g their
skewness.  The interval holds the means m for which |h(T)| <= t, the two-sided quantile of Student's t with
N - 1 degrees of freedom, with T = (mean - m) / se, k = g / sqrt(N) and

    h(T) = T + k T² / 3 + k² T³ / 27 + k / 6,

Hall's transformation that takes the skewness out of T (Hall 1992, J. R. Statist. Soc. B 54, 221-228).  It
grows with T everywhere, so it is inverted in closed form; nothing is drawn.  Without skewness it is
Student's interval.  `tests/speed/coverage.py` simulates what it covers: 94 to 96 % of normal values from 5
images on, of exponential ones 93 % (5 images) to 95 %; percentiles of a bootstrap cover 84 and 77 % with 5.

What a sample does not show, no interval can know: below :data:`FEW` images, or where all but a few values
are equal (:data:`ALIKE`), skewed values are covered in less than 90 %, and the interval says so in `doubt`.
Values that are all at the ends of their range, 0 or 1, are a proportion and get its exact interval (Clopper &
Pearson 1934); so do win rates that are all 1, which have no spread to go by: the lower bound is that of N
hits in N.

One image is in all columns and subjects or in none, so what is common to all cancels in differences.  With
several subjects the statistic is the mean over subjects of each subject's mean, and u_i the sum over
subjects of N / n_s (x_si - mean_s) / S.  A missing value (NaN) leaves its image out of that column and
subject only, and is counted.  A column's result does not depend on the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .replicates import SeedSpread

LEVEL = 0.95

FEW = 15
"""Images from which an interval covers 90 % of skewed values, unless nearly all are equal."""

ALIKE = 5
"""Values that differ from the commonest one, below which an interval near a ceiling covers less than 90 %."""

FEW_IMAGES, NEARLY_ALIKE = "few images", "nearly all alike"
"""What makes an interval doubtful."""

EQUAL = 1e-13
"""Deviations, relative to the values, that are rounding."""

Limits = tuple[float, float]
"""Ends of the range of a score."""


@dataclass(frozen=True)
class Interval:
    """A mean over `n` images with its interval; `missing` images had no value.

    `low` and `high` are NaN where fewer than two images have a value, `mean` where none has.  With
    several subjects an image counts when any has a value, and all need two.
    doubt : ``""``, or why the interval may cover less than 90 % (:data:`FEW_IMAGES`, :data:`NEARLY_ALIKE`).
    """

    mean: float
    low: float
    high: float
    n: int
    missing: int
    doubt: str = ""


@dataclass(frozen=True)
class Estimate:
    """An estimate and how it scatters: standard error, degrees of freedom, skewness of T (k above)."""

    mean: float
    error: float
    freedom: float
    skew: float

    @classmethod
    def of(cls, mean: float, parts: np.ndarray, freedom: float) -> Estimate:
        """From what each of N images adds to a mean (`parts`, (N,), of sum 0)."""
        n = len(parts)
        if freedom < 1:
            return cls(mean, float("nan"), freedom, 0.0)
        squares = float((parts**2).sum())
        error = math.sqrt(squares / (n * (n - 1)))
        skew = skewness(float((parts**3).sum()), squares, n) if n > 2 and squares > 0 else 0.0
        return cls(mean, error, freedom, skew)

    def with_seeds(self, spreads: Sequence[SeedSpread]) -> Estimate:
        """The same estimate where seeds are drawn too, by their `spreads` (:mod:`.replicates`)."""
        added = sum(spread.variance for spread in spreads)
        if not math.isfinite(self.error) or added == 0:
            return self
        variance = self.error**2 + added
        wobble = self.error**4 / self.freedom + sum(spread.wobble for spread in spreads)
        # Images alone are skewed: the third moment of the sum is theirs.
        skew = self.skew * (self.error**2 / variance) ** 1.5
        return Estimate(self.mean, math.sqrt(variance), max(variance**2 / wobble, 1.0), skew)

    def bounds(self, level: float = LEVEL) -> tuple[float, float]:
        """Ends of the interval; NaN where the standard error is unknown."""
        from scipy.special import stdtrit

        if not math.isfinite(self.error):
            return float("nan"), float("nan")
        quantile = float(stdtrit(self.freedom, 0.5 + level / 2))
        low, high = (self._inverse(side) for side in (quantile, -quantile))
        return self.mean - low * self.error, self.mean - high * self.error

    def p(self) -> float:
        """Two-sided p of a true value of 0: below 1 - level where the interval excludes 0."""
        if not math.isfinite(self.error):
            return float("nan")
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(two_sided_p(self.mean / self.error, self.freedom, self.skew))

    def _inverse(self, y: float) -> float:
        """T with h(T) = y."""
        k = self.skew
        return y - k / 6 if abs(k) < 1e-9 else 3 / k * (math.cbrt(1 + k * (y - k / 6)) - 1)


def skewness(cubes: Any, squares: Any, n: int) -> Any:
    """Skewness of T (k above) from the sums of squares and cubes of n > 2 parts; also of arrays of sums."""
    third = cubes / n / (squares / n) ** 1.5
    return third * math.sqrt(n * (n - 1)) / (n - 2) / math.sqrt(n)


def two_sided_p(t: Any, freedom: float, skew: Any) -> Any:
    """p of T with its skewness taken out, by Student's t; also of arrays."""
    from scipy.special import stdtr

    return 2 * stdtr(freedom, -abs(t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / 6))


def mean_interval(
    values: np.ndarray,
    *,
    rivalry: np.ndarray | None = None,
    limits: Limits | None = None,
    level: float = LEVEL,
) -> Interval:
    """Interval of the mean of `values` (N,); see :func:`mean_intervals`."""
    others = None if rivalry is None else np.asarray(rivalry)[:, None]
    return mean_intervals(np.asarray(values)[:, None], rivalry=others, limits=[limits], level=level)[0]


def mean_intervals(
    matrix: np.ndarray,
    *,
    rivalry: np.ndarray | None = None,
    limits: Sequence[Limits | None] | None = None,
    seeds: Sequence[Sequence[SeedSpread]] | None = None,
    level: float = LEVEL,
) -> tuple[Interval, ...]:
    """One interval per column of `matrix`, (N, K) or for S subjects (S, N, K).

    rivalry : like `matrix`; what each image does to the others' values (:mod:`.pairs`).  It moves
        the bounds and leaves the means.
    limits : for each column the range of its values, which no bound leaves, or None.  Values that are all at
        its ends are a proportion.
    seeds : for each column the spreads of its seeds, whose mean values are given.
    """
    cube = as_cube(matrix)
    columns = cube.shape[2]
    ranges = [None] * columns if limits is None else limits
    spreads = [()] * columns if seeds is None else seeds
    parts = zip(*contributions(cube, rivalry), strict=True)
    return tuple(
        _interval(cube[:, :, k], *each, own_range, own_seeds, level)
        for k, (each, own_range, own_seeds) in enumerate(zip(parts, ranges, spreads, strict=True))
    )


def share_limits(pool: bool, chance: float | None) -> Limits | None:
    """(0, 1) for a score with a `pool` and a `chance` to hit in it, a share of rivals beaten or of hits."""
    return (0.0, 1.0) if pool and chance is not None and 0 < chance < 1 else None


def as_cube(matrix: np.ndarray) -> np.ndarray:
    """(S, N, K) float64 of (N, K) or (S, N, K)."""
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim not in (2, 3):
        raise ValueError(f"values have shape {matrix.shape}; expected (images, columns), subjects before")
    return matrix if matrix.ndim == 3 else matrix[None]


def contributions(
    cube: np.ndarray, rivalry: np.ndarray | None = None
) -> tuple[list[float], list[np.ndarray], list[int]]:
    """Means, what each image adds to them (u_i), and images of the subject that has the fewest, of K columns.

    cube : (S, N, K).  The parts of column k are of the images that some subject has a value of.
    """
    subjects, _, columns = cube.shape
    others = None if rivalry is None else as_cube(rivalry)
    means, parts, fewest = [], [], []
    for k in range(columns):  # column by column, so that none can touch another's last digit
        present = np.isfinite(cube[:, :, k])
        counts = present.sum(axis=1)
        any_has = present.any(axis=0)
        own_means = [_mean(cube[s, present[s], k]) for s in range(subjects)]
        added = np.zeros(int(any_has.sum()))
        for s in range(subjects):
            if not counts[s]:
                continue
            values = cube[s, present[s], k]
            deviations = values - own_means[s]
            deviations[np.abs(deviations) <= EQUAL * np.abs(values).max()] = 0.0
            if others is not None:
                deviations = deviations + _centred(np.nan_to_num(others[s, present[s], k]))
            added[present[s, any_has]] += deviations * (len(added) / counts[s] / subjects)
        means.append(sum(own_means) / subjects)
        parts.append(added)
        fewest.append(int(counts.min()))
    return means, parts, fewest


def doubt(values: np.ndarray, *, limits: Limits | None = None) -> str:
    """Why an interval of the mean of `values` (N,) or (S, N) may cover less than 90 %, or ``""``.

    Hits and misses are no reason, since a proportion has an exact interval, nor are values that are all
    equal: what is the same for all images by construction has no spread.
    """
    lines = [line[np.isfinite(line)] for line in np.atleast_2d(values)]
    lines = [line for line in lines if not _constant(line) and not _shares(line, limits)]
    if any(len(line) < FEW for line in lines):
        return FEW_IMAGES
    apart = [len(line) - np.unique(line, return_counts=True)[1].max() for line in lines]
    return NEARLY_ALIKE if any(number < ALIKE for number in apart) else ""


def _interval(
    values: np.ndarray,
    mean: float,
    parts: np.ndarray,
    fewest: int,
    limits: Limits | None,
    seeds: Sequence[SeedSpread],
    level: float,
) -> Interval:
    n = len(parts)
    low, high = Estimate.of(mean, parts, fewest - 1).with_seeds(seeds).bounds(level)
    if limits is not None and fewest > 1:
        present = values[np.isfinite(values)]
        # Hits of several subjects, or that rivals share, are no proportion unless all are equal.
        plain = len(values) == 1 and np.allclose(parts, present - mean, atol=1e-9)
        if _shares(present, limits) and (plain or np.ptp(present) == 0):
            low, high = _proportion(n * (mean - limits[0]) / (limits[1] - limits[0]), n, limits, level)
        low, high = max(low, limits[0]), min(high, limits[1])
    return Interval(mean, low, high, n, values.shape[1] - n, doubt(values, limits=limits))


def _proportion(hits: float, n: int, limits: Limits, level: float) -> Limits:
    """Clopper and Pearson's interval of `hits` in n, on the scale of `limits`."""
    from scipy.special import betaincinv

    tail, hits = (1 - level) / 2, round(hits)
    low = betaincinv(hits, n - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    span = limits[1] - limits[0]
    return limits[0] + span * float(low), limits[0] + span * float(high)


def _shares(values: np.ndarray, limits: Limits | None) -> bool:
    """Whether all are at one end or the other, so that their mean is a proportion."""
    return limits is not None and bool(np.isin(values, limits).all())


def _constant(values: np.ndarray) -> bool:
    return len(values) < 2 or bool(np.ptp(values) == 0)


def _centred(values: np.ndarray) -> np.ndarray:
    return values - _mean(values)


def _mean(values: np.ndarray) -> float:
    """Mean with one rounding of the sum, so that the order of images does not show."""
    return math.fsum(values) / len(values) if len(values) else float("nan")
