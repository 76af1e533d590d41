"""Whether predicted and measured responses arrange the images alike, whatever the voxels' scale.

Linear CKA (Kornblith et al. 2019, arXiv 1905.00414) compares the (N, N) products of images; as few
images as voxels or fewer make its plain estimate large for pure noise, since each image's product
with itself counts.  The debiased one takes those out with the unbiased estimate of HSIC (Song et al.
2012, J. Mach. Learn. Res. 13) and is about 0 for unrelated responses; it may be negative.
"""

from __future__ import annotations

import numpy as np

from ..nn.constancy import negligible

Array = np.ndarray

ROUNDING = 1e-10
"""Share of the products of images below which what is left of them by centring is nothing."""


def linear_cka(predicted: np.ndarray, measured: np.ndarray, *, debiased: bool = False) -> float:
    """Linear CKA of (N, V) and (N, W) responses: normalised product of their image-by-image products.

    Each voxel is centred over images.  0 where no predicted image differs from another and where all are
    equally far apart, so that the centred products are rounding; NaN where that is so of the measured ones,
    for N < 2 (`debiased`: N < 4) and where a response is NaN.
    """
    n = len(predicted)
    if n < (4 if debiased else 2):
        return float("nan")
    grams = []
    for side in (predicted, measured):
        exact = np.asarray(side, np.float64)
        centred = exact - exact.mean(axis=0)
        flat = negligible(np.linalg.norm(centred), np.linalg.norm(exact))
        gram = centred @ centred.T
        products = _u_centred(gram) if debiased else gram
        rounding = not np.linalg.norm(products) > ROUNDING * np.linalg.norm(gram)
        grams.append(None if flat or (rounding and np.isfinite(gram).all()) else products)
    if grams[1] is None:
        return float("nan")
    if grams[0] is None:
        return 0.0
    x, y = grams
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _u_centred(gram: np.ndarray) -> np.ndarray:
    """(N, N) `gram` whose off-diagonal part has rows of sum 0, and whose diagonal is 0.

    The sum of products of two such matrices is N (N - 3) times Song et al.'s unbiased HSIC (Szekely &
    Rizzo 2014, Ann. Statist. 42, definition 2).
    """
    n = len(gram)
    gram = gram - np.diag(np.diag(gram))
    rows = gram.sum(axis=0) / (n - 2)
    gram = gram - rows[:, None] - rows[None, :] + gram.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(gram, 0.0)
    return gram
