"""Pixel metrics: PixCorr and SSIM, in two frozen families that differ only in the resize filter.

========  ==========================================================================================
PixCorr   Pearson correlation of all 3 x 425 x 425 values of two images (Ozcelik & VanRullen 2023)
SSIM      mean structural similarity of the grey images at 425 x 425 (Wang et al. 2004, doi
          10.1109/TIP.2003.819861): Gaussian window of SD 1.5 px cut at 11 taps, population
          covariance, K1 .01, K2 .03, data range 1, the 5-px border left out
========  ==========================================================================================

Family ``mindeye2-v1`` is the path of MindEye2's ``final_evaluations.ipynb`` (Scotti et al. 2024,
torchvision 0.16, antialias off); ``v2`` is the same path with antialiasing.  Both go through
256 x 256 first, whatever the sizes of stimuli and reconstructions.

An image without contrast has no correlation with anything.  The convention here is PixCorr 0, also
for two such images: a constant reconstruction carries nothing about the stimulus.  SSIM is defined
for constant images and taken as it is, which favours them: read it beside ``flat-grey``.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from ..nn.resize import resize, resize_matrix, unit_range
from .pixel_families import C1, C2, CONTRAST_FLOOR, FAMILIES, GREY, RADIUS, Family, window_taps

BLOCK = 16  # rows filtered by one matrix product: larger wastes zeros, smaller wastes calls
HELD = 1 << 20  # numbers of images resized together: beyond the cache takes up to half as long again

Prepared = Mapping[str, np.ndarray]


def through_sizes(images: np.ndarray, family: Family) -> np.ndarray:
    """Floats (n, H, W, C) -> (n, S, S, C), S the last size of `family`."""
    for size in family.sizes:
        images = resize(images, (size, size), antialias=family.antialias)
    return images


def prepare_pixcorr(
    images: np.ndarray, *, family: str, dtype: type[np.floating] = np.float32
) -> dict[str, np.ndarray]:
    """``vector`` (n, F, 3 F): an image so that products are correlations; 0 for a constant image.

    Enlarging from F x F (256) to S x S (425) is linear, X -> R X R', so correlations at S x S are
    inner products <R X R', R Y R'> = <T X T', T Y T'> with T'T = R'R the Cholesky factor of a
    banded matrix: the same number from a third of the values, and never an S x S image.
    """
    resized = FAMILIES[family]
    first = resized.sizes[0]
    bands, column_sums = _factor(resized, dtype)
    pixels = 3 * resized.sizes[-1] ** 2
    vectors = np.empty((len(images), first, 3 * first), dtype)
    start_family = Family(family, (first,), resized.antialias)
    for start, part in _parts(images, dtype):
        for k, image in enumerate(through_sizes(part, start_family), start):
            total = column_sums @ image.reshape(first, -1).astype(np.float64)
            total = column_sums @ total.reshape(first, 3).sum(axis=1)
            vector = _times(bands, image - image.dtype.type(total / pixels)).reshape(first, -1)
            norm = np.sqrt(np.einsum("rc,rc->r", vector, vector).sum(dtype=np.float64))
            flat = norm < CONTRAST_FLOOR * np.sqrt(pixels)
            vectors[k] = 0 if flat else vector / vector.dtype.type(norm)
    return {"vector": vectors}


def pixcorr(result: Prepared, target: Prepared) -> np.ndarray:
    """(n,) float64 correlation of image k of `result` with image k of `target`."""
    # Rows are summed in the type of the vectors and added in float64: a float32 sum over so many
    # products would lose the sixth digit.
    rows = np.einsum("nrc,nrc->nr", result["vector"], target["vector"])
    return np.clip(rows.sum(axis=1, dtype=np.float64), -1.0, 1.0)


def prepare_ssim(
    images: np.ndarray, *, family: str, dtype: type[np.floating] = np.float32
) -> dict[str, np.ndarray]:
    """``grey`` (n, S, S) less ``level`` (n,), its mean; ``mean`` and ``variance`` (n, S-10, S-10).

    ``mean`` is local and of the centred image.  Moments are taken about the image's own level since
    E[xy] - E[x]E[y] cancels badly in float32 far from 0.
    """
    resized = FAMILIES[family]
    size = resized.sizes[-1]
    inner = size - 2 * RADIUS
    grey = np.empty((len(images), size, size), dtype)
    level = np.empty(len(images), dtype)
    mean, variance = np.empty((2, len(images), inner, inner), dtype)
    for start, part in _parts(images, dtype):
        # Grey first: resizing is linear, so the order is free and this one is three times cheaper.
        planes = through_sizes((part @ np.array(GREY, dtype))[..., None], resized)
        for k, plane in enumerate(planes[..., 0], start):
            level[k] = plane.mean(dtype=np.float64)
            grey[k] = plane - level[k]
            mean[k] = window_mean(grey[k])
            variance[k] = window_mean(grey[k] * grey[k]) - mean[k] * mean[k]
    return {"grey": grey, "level": level, "mean": mean, "variance": variance}


def ssim(result: Prepared, target: Prepared) -> np.ndarray:
    """(n,) float64 mean structural similarity of image k of `result` and image k of `target`."""
    values = np.empty(len(result["grey"]), np.float64)
    for k in range(len(values)):
        mean_x, mean_y = result["mean"][k], target["mean"][k]
        covariance = window_mean(result["grey"][k] * target["grey"][k])
        covariance -= mean_x * mean_y
        light_x, light_y = mean_x + result["level"][k], mean_y + target["level"][k]
        light = light_x * light_y
        light *= 2
        light += light.dtype.type(C1)
        difference = np.subtract(light_x, light_y, out=light_x)
        difference *= difference
        difference += light  # x^2 + y^2 + C1 = (x - y)^2 + 2 x y + C1
        light /= difference
        covariance *= 2
        covariance += light.dtype.type(C2)
        covariance *= light
        spread = np.add(result["variance"][k], target["variance"][k], out=light_y)
        spread += light.dtype.type(C2)
        covariance /= spread
        values[k] = covariance.mean(dtype=np.float64)
    return values


def _parts(images: np.ndarray, dtype: type[np.floating]) -> Iterator[tuple[int, np.ndarray]]:
    """Positions of, and floats in, a few images at a time."""
    images = np.asarray(images)
    step = max(1, HELD // max(1, images[:1].size))
    for start in range(0, len(images), step):
        yield start, unit_range(images[start : start + step], dtype=dtype)


def window_mean(plane: np.ndarray) -> np.ndarray:
    """Plane (H, W) -> (H - 10, W - 10) Gaussian-weighted mean of each whole 11 x 11 window.

    A separable filter as products with a banded matrix, block by block, since BLAS does these many
    times faster than tap-by-tap sums.
    """
    band, across = _band(plane.dtype.type)
    height, width = (side - 2 * RADIUS for side in plane.shape)
    columns = np.empty((height, plane.shape[1]), plane.dtype)
    for start in range(0, height, BLOCK):
        rows = min(BLOCK, height - start)
        reach = rows + 2 * RADIUS
        np.matmul(band[:rows, :reach], plane[start : start + reach], out=columns[start : start + rows])
    means = np.empty((height, width), plane.dtype)
    for start in range(0, width, BLOCK):
        rows = min(BLOCK, width - start)
        reach = rows + 2 * RADIUS
        np.matmul(
            columns[:, start : start + reach], across[:reach, :rows], out=means[:, start : start + rows]
        )
    return means


@functools.lru_cache(maxsize=4)
def _band(dtype: type[np.floating]) -> tuple[np.ndarray, np.ndarray]:
    """(BLOCK, BLOCK + 10) matrix whose row i holds the window's taps from column i on; its transpose.

    Both are contiguous: BLAS takes twice as long for a small matrix that it has to transpose.
    """
    taps = window_taps()
    band = np.zeros((BLOCK, BLOCK + 2 * RADIUS), dtype)
    for row in range(BLOCK):
        band[row, row : row + 2 * RADIUS + 1] = taps
    return band, np.ascontiguousarray(band.T)


@functools.lru_cache(maxsize=8)
def _factor(family: Family, dtype: type[np.floating]) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Diagonals 0, 1 ... of T (F, F), with T'T = R'R for the enlargement R (S, F); column sums of R (F,).

    T is upper triangular and has a diagonal less than R'R has: two, for one bilinear enlargement.
    """
    enlarge = np.eye(family.sizes[0])
    for given, wanted in itertools.pairwise(family.sizes):
        matrix = resize_matrix(given, wanted, antialias=family.antialias, dtype=dtype)
        enlarge = matrix.astype(np.float64) @ enlarge
    factor = np.linalg.cholesky(enlarge.T @ enlarge).T
    bands = [np.diag(factor, offset) for offset in range(len(factor))]
    while len(bands) > 1 and (np.abs(bands[-1]) <= 1e-14).all():
        bands.pop()
    return tuple(band.astype(dtype) for band in bands), enlarge.sum(axis=0)


def _times(bands: tuple[np.ndarray, ...], image: np.ndarray) -> np.ndarray:
    """T X of an image X (F, W, C) and T' along its second axis, X T': (F, F, C), for W = F."""
    channels = image.shape[2]
    rows = image.reshape(len(image), -1)  # (F, W C)
    down = rows * bands[0][:, None]
    for offset, band in enumerate(bands[1:], 1):
        down[:-offset] += rows[offset:] * band[:, None]
    across = down * np.repeat(bands[0], channels)
    for offset, band in enumerate(bands[1:], 1):
        across[:, : -offset * channels] += down[:, offset * channels :] * np.repeat(band, channels)
    return across.reshape(image.shape)
