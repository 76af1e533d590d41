"""Encoding scores: predicted against measured responses, before any decoder.

The literature's "Pearson" is one of two things that differ as soon as voxels differ in mean:

* ``voxel-r``: each voxel across images, the headline here (NSD and Algonauts practice);
* ``pattern-r``: each image across voxels, after taking the training mean off both; ``pattern-r-raw``
  leaves it in, as SynBrain and MindSimulator do on their data.  With the mean in, an image-blind
  predictor scores highly.

The measured responses are means over an image's repeats.  ``voxel-r2-nc`` divides by the share of
their variance that any model could explain (Allen et al. 2022, doi 10.1038/s41593-021-00962-x).
Average it over voxels with care: the sampling noise of r^2, about 1/N, is divided by a small ceiling.
Ceilings and floors from repeats are in :mod:`.ceilings`, other groups' definitions in
:mod:`.published`.

Conventions: a constant prediction correlates 0, since it explains nothing; a constant measurement
gives NaN, since there is nothing to explain.  "Constant" is an SD below 1e-6 of the root mean
square (:mod:`harness.nn.constancy`).  Sums run in float64.  V are valid voxels only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..api import DataError
from ..nn.constancy import negligible
from .identification import standardise, two_way, two_way_with_rivalry

Array = np.ndarray

BLOCK = 1 << 21  # entries turned into float64 at once, 16 MB


def voxel_r(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(V,) Pearson correlation of each voxel across images; (N, V) each."""

    def correlate(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return _pearson(x - x.mean(axis=0), y - y.mean(axis=0), x, y)

    return _by_voxel(correlate, predicted, measured)


def voxel_r_truth(predicted: np.ndarray, measured: np.ndarray, *, truth: np.ndarray) -> np.ndarray:
    """(V,) :func:`voxel_r` with the noise-free `truth` (N, V) in place of what was measured."""
    return voxel_r(predicted, truth)


def voxel_r2(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(V,) 1 - SS_residual / SS_total about the measured mean; negative for a bad scale or offset."""

    def explained(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        return 1.0 - ((x - y) ** 2).sum(axis=0) / np.where(_flat(total, y), np.nan, total)

    return _by_voxel(explained, predicted, measured)


def voxel_mse(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(V,) mean squared error across images, in squared units of the responses."""
    return _by_voxel(lambda x, y: ((x - y) ** 2).mean(axis=0), predicted, measured)


def voxel_r2_nc(predicted: np.ndarray, measured: np.ndarray, ceiling: np.ndarray | None) -> np.ndarray:
    """(V,) max(r, 0)^2 / ceiling, not clipped at 1; NaN where `ceiling` is unknown or 0."""
    if ceiling is None:
        return np.full(predicted.shape[1], np.nan)
    ceiling = np.asarray(ceiling, np.float64)
    r = voxel_r(predicted, measured)
    return np.maximum(r, 0.0) ** 2 / np.where(ceiling > 0, ceiling, np.nan)


def variance_ratio(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(V,) SD of the prediction over SD of the measurement: below 1 for anything that regresses."""

    def ratio(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        spread = ((x - x.mean(axis=0)) ** 2).sum(axis=0)
        return np.sqrt(spread / np.where(_flat(total, y), np.nan, total))

    return _by_voxel(ratio, predicted, measured)


def pattern_r(
    predicted: np.ndarray, measured: np.ndarray, *, baseline: np.ndarray | None = None
) -> np.ndarray:
    """(N,) Pearson correlation of each image across voxels, `baseline` (V,) taken off both first."""
    predicted, measured = checked(predicted, measured)
    shift = np.zeros(predicted.shape[1]) if baseline is None else np.asarray(baseline, np.float64)
    values = np.full(len(predicted), np.nan)
    for rows in _slices(len(predicted), predicted.shape[1]):
        x, y = (np.array(side[rows], np.float64, order="C").T for side in (predicted, measured))
        dx, dy = x - shift[:, None], y - shift[:, None]
        # What is left of a prediction that equals the baseline is rounding, small beside either.
        values[rows] = _pearson(dx - dx.mean(axis=0), dy - dy.mean(axis=0), np.abs(x) + np.abs(y), y)
    return values


def pattern_two_way(
    predicted: np.ndarray,
    measured: np.ndarray,
    baseline: np.ndarray,
    *,
    copies: np.ndarray | None = None,
    rivalry: bool = False,
) -> np.ndarray:
    """(N,) share of other measured patterns that the predicted pattern resembles less than its own.

    Patterns are taken relative to `baseline` (V,), since the mean pattern would dominate otherwise.
    copies : (N,) equal numbers for images of equal content, which are no rivals of each other.
    With `rivalry` (2, N): below the shares, what each image does to the others' as their rival.
    """
    sides = [np.asarray(side, np.float64) for side in checked(predicted, measured)]
    identify = two_way_with_rivalry if rivalry else two_way
    return identify(*_departures(*sides, baseline), copies=copies)


def rsa(predicted: np.ndarray, measured: np.ndarray, *, ranked: bool = False) -> float:
    """Correlation of the two representational dissimilarity matrices' upper triangles.

    Dissimilarity is 1 - Pearson across voxels (Kriegeskorte et al. 2008); a constant pattern is at
    distance 1 from every other.  Pearson or, if `ranked`, Spearman with mean ranks for ties; 0 where
    all predicted dissimilarities are equal, NaN for N < 3, where all measured ones are, and where
    a response is NaN.
    """
    predicted, measured = checked(predicted, measured)
    if len(predicted) < 3:
        return float("nan")
    x, y = dissimilarities(predicted), dissimilarities(measured)
    if ranked and np.isfinite(x).all() and np.isfinite(y).all():
        from scipy.stats import rankdata

        # 12 digits: dissimilarities that are equal but for rounding share a rank.
        x, y = (rankdata(np.round(side, 12)) / len(side) for side in (x, y))
    ones = np.ones((len(x), 1))  # the scale of a dissimilarity is 1
    return float(_pearson((x - x.mean())[:, None], (y - y.mean())[:, None], ones, ones)[0])


def dissimilarities(patterns: np.ndarray) -> np.ndarray:
    """(N (N - 1) / 2,) 1 - Pearson between the rows of `patterns` (N, V), upper triangle by rows."""
    unit = standardise(patterns)
    return (1.0 - unit @ unit.T)[np.triu_indices(len(patterns), k=1)]


def pattern_cosine(
    predicted: np.ndarray, measured: np.ndarray, *, baseline: np.ndarray | None = None
) -> np.ndarray:
    """(N,) cosine of each image's predicted and measured pattern, `baseline` (V,) taken off both first.

    0 for a prediction of nothing, NaN for a measurement of nothing.
    """
    sides = [np.asarray(side, np.float64) for side in checked(predicted, measured)]
    if baseline is not None:
        sides = _departures(*sides, baseline)
    x, y = sides
    sizes, own = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    norms = np.where(sizes == 0, 1.0, sizes) * np.where(own == 0, np.nan, own)
    return np.clip(np.einsum("nv,nv->n", x, y) / norms, -1.0, 1.0)


def synbrain_cka(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Alignment ||X Y'||^2 / (||X X'|| ||Y Y'||) of (N, V) responses, each voxel centred.

    What SynBrain's ``eval.py`` prints as CKA.  In linear CKA (Kornblith et al. 2019) the products
    are X'Y, over voxel pairs; with these, over image pairs, voxels play the part of the samples.
    0 for a prediction that does not vary, NaN for a measurement that does not.
    """
    centred = []
    for side in checked(predicted, measured):
        exact = np.asarray(side, np.float64)
        rest = exact - exact.mean(axis=0)
        # What is left of responses that do not vary is rounding, and would look like alignment.
        flat = negligible(np.linalg.norm(rest), np.linalg.norm(exact))
        centred.append(np.zeros_like(rest) if flat else rest)
    x, y = centred
    norm = np.linalg.norm(x @ x.T) * np.linalg.norm(y @ y.T)
    if norm == 0:
        return 0.0 if y.any() else float("nan")
    return float(np.linalg.norm(x @ y.T) ** 2 / norm)


def noise_floor(ncsnr: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(V,) expected mean squared error of the noiseless truth against means of `counts` (N,) trials.

    For trials of unit variance: the noise share 1 / (1 + ncsnr^2) times the mean of 1/counts, with
    `ncsnr` (V,) as Allen et al. 2022 define it.  A score below it means another target or scale.
    """
    share = 1.0 / (1.0 + np.asarray(ncsnr, np.float64) ** 2)
    return share * np.mean(1.0 / np.asarray(counts, np.float64))


def checked(predicted: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both, if they are (N, V) of one shape; else :class:`DataError`."""
    if predicted.ndim != 2 or predicted.shape != measured.shape:
        raise DataError(
            f"predicted responses have shape {predicted.shape}, measured ones {measured.shape}; "
            "expected the same (images, voxels)"
        )
    return predicted, measured


def _departures(predicted: np.ndarray, measured: np.ndarray, baseline: np.ndarray) -> list[np.ndarray]:
    """Both (N, V) less `baseline` (V,); exactly 0 where what is left of a pattern is rounding."""
    size = np.linalg.norm(predicted, axis=1) + np.linalg.norm(measured, axis=1)
    left = [side - baseline for side in (predicted, measured)]
    for side in left:
        side[negligible(np.linalg.norm(side, axis=1), size)] = 0.0
    return left


def _by_voxel(
    score: Callable[[np.ndarray, np.ndarray], np.ndarray], predicted: np.ndarray, measured: np.ndarray
) -> np.ndarray:
    """(V,) `score` of blocks of voxels, given in float64; NaN without images."""
    predicted, measured = checked(predicted, measured)
    values = np.full(predicted.shape[1], np.nan)
    if len(predicted) == 0:
        return values
    for columns in _slices(predicted.shape[1], len(predicted)):
        # C order whatever the input's, since the order of summation shows in the last digit.
        x, y = (np.array(side[:, columns], np.float64, order="C") for side in (predicted, measured))
        values[columns] = score(x, y)
    return values


def _pearson(x: np.ndarray, y: np.ndarray, scale_x: np.ndarray, scale_y: np.ndarray) -> np.ndarray:
    """(K,) correlation of centred columns x, y (n, K); 0 for a flat x, NaN for a flat y."""
    xx, yy = (x**2).sum(axis=0), (y**2).sum(axis=0)
    flat = _flat(xx, scale_x)
    r = (x * y).sum(axis=0) / np.sqrt(np.where(flat, 1.0, xx) * np.where(_flat(yy, scale_y), np.nan, yy))
    return np.clip(np.where(flat & ~np.isnan(r), 0.0, r), -1.0, 1.0)


def _flat(squares: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(K,) whether the squared deviations `squares` of columns `values` (n, K) are nothing."""
    return negligible(np.sqrt(squares), np.sqrt((values**2).sum(axis=0)))


def _slices(length: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, width))
    for start in range(0, length, step):
        yield slice(start, start + step)
