"""Bilinear resizing of image batches, with and without antialiasing.

Sampling is at pixel centres with the border repeated; with ``antialias`` the triangle is widened by
the reduction factor, so every source pixel counts (Pillow's convention; enlarging is the same with
and without).  These are the two filters of ``torchvision.transforms.Resize`` on tensors, whose
default changed from off to on in torchvision 0.17; here it is always stated.

Own sparse products stand in for torch's kernels, since without antialiasing those give one result
with one thread and another with several (3e-5 apart at worst, 1024 px to 255 px of noise).  Weights
follow torch's single-precision coordinates (``aten/src/ATen/native/cpu/UpSampleKernel.cpp``) for
float32 images, as the several-threaded kernel has them: exact ones would differ from the published
path by as much.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from ..api import DataError

if TYPE_CHECKING:
    import scipy.sparse


def unit_range(images: np.ndarray, *, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Images (n, H, W, 3), uint8 or float in [0, 1] -> the same as floats in [0, 1].

    Raises
    ------
    DataError
        Another shape or type.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
        raise DataError(f"images have shape {images.shape}; expected (n, height, width, 3)")
    if images.dtype == np.uint8:
        unit = images.astype(dtype)
        unit /= dtype(255)
        return unit
    if np.issubdtype(images.dtype, np.floating):
        return images.astype(dtype, copy=False)
    raise DataError(f"images have type {images.dtype}; expected uint8, or float in [0, 1]")


def resize(images: np.ndarray, size: tuple[int, int], *, antialias: bool) -> np.ndarray:
    """Floats (n, H, W, C) -> (n, height, width, C) of the same type, for ``size = (height, width)``.

    The aspect ratio is not kept.  float32 or float64; each image is resized by itself, so the result
    depends on neither its neighbours nor the number of threads.
    """
    n, height, width, channels = images.shape
    if (height, width) == tuple(size):
        return images
    rows = resize_matrix(height, size[0], antialias=antialias, dtype=images.dtype.type)
    columns = resize_matrix(width, size[1], antialias=antialias, dtype=images.dtype.type)
    resized = np.empty((n, *size, channels), images.dtype)
    for image, out in zip(images, resized):
        tall = (rows @ image.reshape(height, -1)).reshape(size[0], width, channels)
        across = columns @ _swapped(tall).reshape(width, -1)
        out[:] = _swapped(across.reshape(size[1], size[0], channels))
    return resized


def _swapped(image: np.ndarray) -> np.ndarray:
    """Contiguous (H, W, C) -> contiguous (W, H, C), a pixel at a time: twice as fast as number by number."""
    height, width, channels = image.shape
    pixels = image.view(np.dtype((np.void, channels * image.itemsize)))[..., 0]
    return np.ascontiguousarray(pixels.T).view(image.dtype).reshape(width, height, channels)


@functools.lru_cache(maxsize=32)
def resize_matrix(
    given: int, wanted: int, *, antialias: bool, dtype: type[np.floating] = np.float32
) -> scipy.sparse.csr_array:
    """(wanted, given) weights of the source pixels along one axis; every row sums to 1."""
    from scipy.sparse import csr_array

    scale = dtype(given) / dtype(wanted)
    centres = scale * (np.arange(wanted, dtype=dtype) + dtype(0.5))
    reach = max(scale, dtype(1)) if antialias else dtype(1)
    if antialias:
        first = np.maximum((centres - reach + dtype(0.5)).astype(np.int64), 0)
        last = np.minimum((centres + reach + dtype(0.5)).astype(np.int64), given)
        taps = first[:, None] + np.arange((last - first).max())
        distances = np.abs((taps.astype(dtype) - centres[:, None] + dtype(0.5)) / reach)
        weights = np.where(taps < last[:, None], np.maximum(dtype(1) - distances, 0), 0)
        weights = weights / weights.sum(axis=1, keepdims=True)
    else:
        positions = np.maximum(centres - dtype(0.5), 0)
        first = np.minimum(positions.astype(np.int64), given - 1)
        taps = first[:, None] + np.arange(2)
        share = positions - first.astype(dtype)
        weights = np.stack([dtype(1) - share, share], axis=1)
    at = np.repeat(np.arange(wanted), taps.shape[1]), np.minimum(taps, given - 1).ravel()
    return csr_array((weights.astype(dtype).ravel(), at), shape=(wanted, given))
