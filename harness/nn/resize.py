"""Bilinear resizing of image batches, with and without antialiasing.

Sampling is at pixel centres with the border repeated; with ``antialias`` the triangle is widened by
the reduction factor, so every source pixel counts (Pillow's convention; enlarging is the same with
and without).  These are the two filters of ``torchvision.transforms.Resize`` on tensors, whose
default changed from off to on in torchvision 0.17; here it is always stated.

Own sparse products stand in for torch's kernels, which give other last digits with one thread than with
several, and others again with AVX2 and AVX-512 than without (3e-5 apart at worst, 1024 px to 255 px of
noise, without antialiasing).  What is exact and what is not:

- The definition is the arithmetic in float64 at torch's coordinates, which are rounded to the type of the
  images (``aten/src/ATen/native/cpu/UpSampleKernel.cpp``).  For images in [0, 1] of up to 1024 px
  :func:`resize` equals it to 1e-6 in float32 and to 5e-15 in float64.
- :func:`resize` gives the same bits with any number of threads, whatever torch runs on.
- torchvision's ``Resize`` rounds coordinates once more or once less, as its kernel has it: it is equal to
  2e-6 plus (height + width) x 1.2e-7 in float32, to 4e-15 plus (height + width) x 2.2e-16 in float64.
- Coordinates in float32 are not exact themselves (9e-5 in the values at worst, 1024 px to 255 px of noise).
  They are kept, since the published path has them.

Pixel metrics, inputs of pretrained networks and blending come through here; the small networks and the
pixel features have a resize of their own (:mod:`harness.backbones.images`).  :func:`resize_planes` is the
same on torch's devices, the same terms in the same order.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from ..api import DataError

if TYPE_CHECKING:
    import scipy.sparse
    import torch

STRIP = 16  # rows
ALIASED = 2048  # bytes; rows of a multiple of it compete for the same places of a first-level cache


def unit_range(images: np.ndarray, *, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Images (n, H, W, 3), uint8 or float in [0, 1] -> the same as floats in [0, 1].

    Raises
    ------
    DataError
        Another shape or type.
    """
    images = checked_images(images)
    if images.dtype == np.uint8:
        unit = images.astype(dtype)
        unit /= dtype(255)
        return unit
    return images.astype(dtype, copy=False)


def checked_images(images: np.ndarray) -> np.ndarray:
    """`images` as an array (n, H, W, 3) of uint8 or floats, or :class:`DataError`."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
        raise DataError(f"images have shape {images.shape}; expected (n, height, width, 3)")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"images have type {images.dtype}; expected uint8, or float in [0, 1]")
    return images


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
    swapped = np.empty((width, height), pixels.dtype)
    # Columns of grey rows of 512 px fall into the same few places of the cache: strip by strip they are
    # read four times as fast.
    strip = STRIP if channels == 1 and image.strides[0] % ALIASED == 0 else max(1, height)
    for start in range(0, height, strip):
        swapped[:, start : start + strip] = pixels[start : start + strip].T
    return swapped.view(image.dtype).reshape(width, height, channels)


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


def resize_planes(planes: torch.Tensor, size: tuple[int, int], *, antialias: bool) -> torch.Tensor:
    """Planes (n, C, H, W) -> (n, C, height, width) on their device, as :func:`resize` has them.

    float32 or float64.  On the CPU it is :func:`resize`; elsewhere sums tap by tap, of which two-tap rows
    take two: no matrix product, so neither TF32 nor a library's choice of algorithm has a say.
    """
    import torch

    if planes.device.type == "cpu":
        grey = planes.reshape(-1, *planes.shape[-2:], 1).numpy()
        return torch.from_numpy(resize(grey, size, antialias=antialias)).reshape(*planes.shape[:2], *size)
    return tap_by_tap(planes, size, antialias=antialias)


def tap_by_tap(planes: torch.Tensor, size: tuple[int, int], *, antialias: bool) -> torch.Tensor:
    """:func:`resize_planes` as sums over taps, on any device."""
    import torch

    if tuple(planes.shape[-2:]) == tuple(size):
        return planes
    dtype = np.float64 if planes.dtype == torch.float64 else np.float32
    for axis, wanted in zip((-2, -1), size):
        sources, weights = _taps(planes.shape[axis], wanted, antialias=antialias, dtype=dtype)
        along = (-1, 1) if axis == -2 else (-1,)
        sources, weights = (torch.from_numpy(table).to(planes.device) for table in (sources, weights))
        total: torch.Tensor | None = None
        for source, weight in zip(sources, weights):
            part = planes.index_select(axis, source)
            part *= weight.reshape(along)
            total = part if total is None else total.add_(part)
        planes = total
    return planes


@functools.lru_cache(maxsize=32)
def _taps(
    given: int, wanted: int, *, antialias: bool, dtype: type[np.floating]
) -> tuple[np.ndarray, np.ndarray]:
    """Sources and weights (taps, wanted) of :func:`resize_matrix`, of weight 0 where a row has fewer."""
    matrix = resize_matrix(given, wanted, antialias=antialias, dtype=dtype)
    counts = np.diff(matrix.indptr)
    sources = np.zeros((counts.max(), wanted), np.int64)
    weights = np.zeros(sources.shape, dtype)
    rows = np.repeat(np.arange(wanted), counts)
    place = np.arange(len(rows)) - np.repeat(matrix.indptr[:-1], counts)
    sources[place, rows], weights[place, rows] = matrix.indices, matrix.data
    return sources, weights
