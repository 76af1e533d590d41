"""Voxel scores from moments: for many weightings of the same images at once.

A score of a voxel that is a function of the first two moments of its prediction x and measurement y
across images is known for any weighting of the images once those moments are, and moments of many
weightings are one product of matrices.  Here are the scores of :mod:`.encoding` and :mod:`.ceilings`
that have that form, by the same conventions: a constant prediction correlates 0, a constant
measurement gives NaN.  Ceilings are held fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..nn.constancy import is_constant

Array = np.ndarray

ROUNDING = 1e-12
"""Share of a voxel's variance over all images below which that of a weighting is nothing but rounding."""


@dataclass(frozen=True)
class Moments:
    """Moments across images of K voxels for D weightings, (D, K) each, float64.

    offset : mean of x less mean of y; xx, yy, xy : variances and covariance, dividing by the sum of
    weights; x_flat, y_flat : whether x or y is constant over the images that have a weight.
    """

    offset: Array
    xx: Array
    yy: Array
    xy: Array
    x_flat: Array
    y_flat: Array

    @classmethod
    def weighted(cls, predicted: Array, measured: Array, weights: Array) -> Moments:
        """Of `predicted` and `measured` (N, K) for `weights` (D, N), each line with the sum 1."""
        return cls._of(predicted, measured, lambda values: weights @ values)

    @classmethod
    def leave_one_out(cls, predicted: Array, measured: Array) -> Moments:
        """Of all images but one, D = N of them; N > 1."""
        n = len(predicted)
        return cls._of(predicted, measured, lambda values: (values.sum(axis=0) - values) / (n - 1))

    @classmethod
    def _of(cls, predicted: Array, measured: Array, mean: Callable[[Array], Array]) -> Moments:
        x, x_centre = _centred(predicted)
        y, y_centre = _centred(measured)
        mx, my = mean(x), mean(y)
        xx, yy = (np.maximum(mean(v**2) - m**2, 0.0) for v, m in ((x, mx), (y, my)))
        return cls(
            offset=(mx + x_centre) - (my + y_centre),
            xx=xx,
            yy=yy,
            xy=mean(x * y) - mx * my,
            x_flat=_flat(xx, mx + x_centre, x),
            y_flat=_flat(yy, my + y_centre, y),
        )


def r(moments: Moments, ceiling: Array | None) -> Array:
    """(D, K) of :func:`.encoding.voxel_r`."""
    size = np.sqrt(np.where(moments.x_flat, 1.0, moments.xx) * np.where(moments.y_flat, np.nan, moments.yy))
    correlation = np.clip(moments.xy / size, -1.0, 1.0)
    return np.where(moments.x_flat & ~moments.y_flat, 0.0, correlation)


def mse(moments: Moments, ceiling: Array | None) -> Array:
    """(D, K) of :func:`.encoding.voxel_mse`."""
    return np.maximum(moments.xx + moments.yy - 2.0 * moments.xy, 0.0) + moments.offset**2


def r2(moments: Moments, ceiling: Array | None) -> Array:
    """(D, K) of :func:`.encoding.voxel_r2`."""
    return 1.0 - mse(moments, ceiling) / np.where(moments.y_flat, np.nan, moments.yy)


def r2_nc(moments: Moments, ceiling: Array | None) -> Array:
    """(D, K) of :func:`.encoding.voxel_r2_nc`."""
    return np.maximum(r(moments, ceiling), 0.0) ** 2 / _positive(ceiling)


def r_nc(moments: Moments, ceiling: Array | None) -> Array:
    """(D, K) of :func:`.ceilings.voxel_r_nc`."""
    return r(moments, ceiling) / np.sqrt(_positive(ceiling))


STATISTICS: Mapping[str, Callable[[Moments, Array | None], Array]] = {
    "voxel-r@1": r,
    "voxel-r2@1": r2,
    "voxel-mse@1": mse,
    "voxel-r2-nc@1": r2_nc,
    "voxel-r-nc@1": r_nc,
}
"""Metric, with the version it is equal to -> its values for `moments` and the ceiling (K,) or None."""


def _positive(ceiling: Array | None) -> Array:
    ceiling = np.asarray(np.nan if ceiling is None else ceiling, np.float64)
    return np.where(ceiling > 0, ceiling, np.nan)


def _centred(values: Array) -> tuple[Array, Array]:
    """(N, K) float64 less its mean over images, for the precision of moments, and that mean (K,)."""
    exact = np.array(values, np.float64, order="C")
    centre = exact.mean(axis=0)
    return exact - centre, centre


def _flat(squares: Array, mean: Array, values: Array) -> Array:
    """(D, K) whether the variance `squares` is nothing beside the `mean` or beside all `values` (N, K)."""
    rounding = ROUNDING * (values**2).mean(axis=0)
    return is_constant(np.sqrt(squares), mean) | (squares <= rounding)
