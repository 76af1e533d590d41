"""An interval that generalises to other subjects, too: images and subjects are both drawn.

Subjects that saw the same images cross them as seeds do, in the same two-way random model
(:mod:`.replicates`): to the variance over images of the subjects' mean comes how far subjects lie apart, less
what of that is images by subjects.  Where subjects saw different images, each subject's mean holds the
scatter of its own images already, and the interval is Student's of those means.

Degrees of freedom are few, since subjects are: from :data:`FEWEST` on there is an interval at all.
"""

from __future__ import annotations

import math

import numpy as np

from .intervals import LEVEL, Estimate, as_cube, contributions
from .replicates import seed_spread

FEWEST = 4
"""Subjects below which nothing is said of others."""


def subjects_interval(
    cube: np.ndarray,
    *,
    rivalry: np.ndarray | None = None,
    values: np.ndarray | None = None,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Ends of the interval of the mean over subjects of their means over images; NaN of fewer than
    :data:`FEWEST` subjects.

    cube : (S, N), NaN where a subject lacks an image.  rivalry : like `cube`
    (:func:`.intervals.mean_intervals`).  values : (S,) scores that are no means, of which `cube` holds what
    images contribute.
    """
    cube = np.asarray(cube, np.float64)
    if len(cube) < FEWEST or not np.isfinite(cube).any(axis=1).all():
        return math.nan, math.nan
    added = cube if rivalry is None else cube + np.nan_to_num(np.asarray(rivalry, np.float64))
    own_means = np.nanmean(cube, axis=1) if values is None else np.asarray(values, np.float64)
    mean = float(own_means.mean())
    spread = seed_spread(added)
    if spread is None:
        error = float(own_means.std(ddof=1)) / math.sqrt(len(cube))
        return Estimate(mean, error, len(cube) - 1, 0.0).bounds(level)
    others = None if rivalry is None else as_cube(np.asarray(rivalry)[:, :, None])
    _, (parts,), (fewest,) = contributions(cube[:, :, None], others)
    return Estimate.of(mean, parts, fewest - 1).with_seeds([spread]).bounds(level)
