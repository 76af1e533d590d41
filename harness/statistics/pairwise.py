"""Paired tests of every pair of many systems at once, from sums that pairs share.

With u_ma what image m adds to the mean of system a (:func:`.intervals.contributions`), the squares and cubes
of a difference over images are

    sum (u_a - u_b)^2 = G_aa - 2 G_ab + G_bb,            G = u' u
    sum (u_a - u_b)^3 = C_a - 3 T_ab + 3 T_ba - C_b,     T = (u^2)' u, C its diagonal

so that all of M (M - 1) / 2 differences come from two products of matrices.  Where a difference is so small
that its squares would be rounding, and where two systems lack other images, a pair is computed by itself.
p is that of the interval of a paired difference (:meth:`.intervals.Estimate.p`); sign flips, which need as
many draws as there are tests, are for the few pairs of a comparison.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .intervals import Estimate, as_cube, contributions, skewness, two_sided_p
from .paired import holm
from .replicates import SeedSpread

CANCELLED = 1e-6
"""Squares of a difference over those of both sides, below which subtracting has lost too many digits."""

MOMENTS = 2
"""Images up to which nothing is known of skewness."""


def pairwise_ps(
    cube: np.ndarray,
    *,
    rivalry: np.ndarray | None = None,
    values: np.ndarray | None = None,
    seeds: Sequence[Sequence[SeedSpread]] | None = None,
) -> np.ndarray:
    """(M, M) two-sided p of every pair of M systems, NaN where there is none and on the diagonal.

    cube : (N, M), or (S, N, M) of S subjects; NaN: not scored.  rivalry : like `cube`; see
    :func:`.intervals.mean_intervals`.  values : (S, M) scores, where they are no means and `cube` holds what
    images contribute to them (:mod:`.contributed`).  seeds : of each system, the spreads of its seeds.
    """
    cube = as_cube(cube)
    others = None if rivalry is None else as_cube(rivalry)
    systems = cube.shape[2]
    means, parts, fewest = contributions(cube, others)
    means = means if values is None else np.asarray(values, np.float64).mean(axis=0).tolist()
    spreads = [()] * systems if seeds is None else seeds
    result = np.full((systems, systems), np.nan)
    alike: dict[bytes, list[int]] = {}
    for m in range(systems):
        alike.setdefault(np.isfinite(cube[:, :, m]).tobytes(), []).append(m)
    for members in alike.values():
        parts_of = np.stack([parts[m] for m in members], axis=1)
        own_means = np.array([means[m] for m in members])
        freedom = fewest[members[0]] - 1
        ps, lost = _ps_of_sums(own_means, parts_of, freedom)
        if any(spreads[m] for m in members):
            lost[:] = True
        for i, j in zip(*np.nonzero(np.triu(lost, k=1))):
            estimate = Estimate.of(own_means[i] - own_means[j], parts_of[:, i] - parts_of[:, j], freedom)
            ps[i, j] = ps[j, i] = estimate.with_seeds((*spreads[members[i]], *spreads[members[j]])).p()
        result[np.ix_(members, members)] = ps
    for first, second in itertools.combinations(alike.values(), 2):
        for a, b in itertools.product(first, second):
            ours = cube[:, :, a] - cube[:, :, b]
            theirs = None if others is None else (others[:, :, a] - others[:, :, b])[:, :, None]
            (mean,), (own,), (few,) = contributions(ours[:, :, None], theirs)
            mean = mean if values is None else means[a] - means[b]
            estimate = Estimate.of(mean, own, few - 1).with_seeds((*spreads[a], *spreads[b]))
            result[a, b] = result[b, a] = estimate.p()
    return result


def told_apart(ps: np.ndarray, *, alpha: float = 0.05) -> np.ndarray:
    """(M, M) bool: pairs whose p in `ps` (M, M) is below `alpha` after Holm's correction over all pairs."""
    first, second = np.triu_indices(len(ps), k=1)
    apart = np.zeros(ps.shape, bool)
    apart[first, second] = holm(ps[first, second]) < alpha
    return apart | apart.T


def _ps_of_sums(means: np.ndarray, u: np.ndarray, freedom: int) -> tuple[np.ndarray, np.ndarray]:
    """(M, M) p of pairs of the columns of `u` (N, M), and where they have to be computed by themselves."""
    n, systems = u.shape
    everywhere = ~np.eye(systems, dtype=bool)
    ps = np.full((systems, systems), np.nan)
    if n <= MOMENTS:
        return ps, everywhere
    products, skewed = u.T @ u, (u**2).T @ u
    own, cubed = np.diag(products), np.diag(skewed)
    both = own[:, None] + own
    squares = both - 2 * products
    cubes = cubed[:, None] - 3 * skewed + 3 * skewed.T - cubed
    lost = squares <= CANCELLED * both
    safe = np.where(lost, 1.0, squares)
    t = (means[:, None] - means) / np.sqrt(safe / (n * (n - 1)))
    kept = everywhere & ~lost
    ps[kept] = two_sided_p(t, freedom, skewness(cubes, safe, n))[kept]
    return ps, everywhere & lost
