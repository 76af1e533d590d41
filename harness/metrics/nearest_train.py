"""Distance to the nearest training image: does a decoder draw, or look up?

1 - Pearson's r over features to the training image for which it is smallest.  A decoder that returns
training images has 0 everywhere; one that blurs, or draws what it has seen a hundred times, lies below
the stimuli themselves, which are as far from the training images as new pictures are.  So every value
is read beside the same distance of the stimuli (row ``stimulus``), and of the control that *is* a training
image (``nearest-train``, 0 by construction).  Shirakawa et al. (2025) ask how near test images lie to
training images, and how much of a reconstruction is retrieval.

Higher is called better, but only as far as the stimuli reach: noise is far from everything.
"""

from __future__ import annotations

import numpy as np

from ..solvers.nearest import nearest_with_r


def distance_to_nearest(result: np.ndarray, training: np.ndarray) -> np.ndarray:
    """(N,) smallest correlation distance of each row of `result` (N, D) to `training` (M, D).

    A constant row correlates 0 with everything and has 1; NaN for a row with NaN.  Training rows with
    NaN are nobody's nearest.
    """
    result, training = (np.asarray(rows, np.float64).reshape(len(rows), -1) for rows in (result, training))
    values = np.full(len(result), np.nan)
    complete, usable = (np.isfinite(rows).all(axis=1) for rows in (result, training))
    if complete.any() and usable.any():
        values[complete] = 1 - nearest_with_r(result[complete], training[usable])[1]
    return values
