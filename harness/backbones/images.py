"""Images as torch planes, and the resize of the small networks and of the pixel features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    import torch

RESIZE = "bilinear, antialiased, pixel centres, aspect ratio not kept"
"""What :func:`resized` does, in words, for the identity of a backbone."""


def planes(images: np.ndarray) -> torch.Tensor:
    """Images (n, H, W, 3), uint8 or float in [0, 1] -> float32 planes (n, 3, H, W) in [0, 1].

    Raises
    ------
    DataError
        Another shape or type, or floats outside [0, 1].
    """
    import torch

    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape[1:]:
        raise DataError(f"images have shape {images.shape}; expected (n, height, width, 3)")
    if images.dtype == np.uint8:
        unit = images.astype(np.float32) / np.float32(255)
    elif images.dtype.kind == "f":
        unit = images.astype(np.float32)
        if unit.size and not (unit.min() >= 0 and unit.max() <= 1):
            raise DataError(f"float images hold {unit.min():.3g} to {unit.max():.3g}; expected [0, 1]")
    else:
        raise DataError(f"images have type {images.dtype}; expected uint8, or float in [0, 1]")
    return torch.from_numpy(np.ascontiguousarray(unit.transpose(0, 3, 1, 2)))


def resized(planes: torch.Tensor, size: int) -> torch.Tensor:
    """Planes (n, C, H, W) -> (n, C, size, size); enlarging interpolates, reducing averages."""
    from torch.nn.functional import interpolate

    if tuple(planes.shape[-2:]) == (size, size):
        return planes
    return interpolate(planes, (size, size), mode="bilinear", align_corners=False, antialias=True)
