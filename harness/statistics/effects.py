"""Sizes of paired differences: how large they are beside how much they vary from image to image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .intervals import as_cube


@dataclass(frozen=True)
class Effect:
    """d : mean difference over its standard deviation over images (Cohen's d_z, 1988, ch. 2), NaN where there
    is none.  above : share of images with a difference above 0, ties counting half."""

    d: float
    above: float


def paired_effects(differences: np.ndarray) -> tuple[Effect, ...]:
    """Effect of each column of `differences`, (N, K) or for S subjects (S, N, K); NaN: not scored.

    An image's difference is its mean over the subjects that have it.
    """
    cube = as_cube(differences)
    present = np.isfinite(cube)
    counts = present.sum(axis=0)
    totals = np.where(present, cube, 0.0).sum(axis=0)
    images = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    effects = []
    for column in images.T:
        values = column[np.isfinite(column)]
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        above = float(((values > 0) + 0.5 * (values == 0)).mean()) if len(values) else np.nan
        effects.append(Effect(float(values.mean()) / spread if spread > 0 else np.nan, above))
    return tuple(effects)
