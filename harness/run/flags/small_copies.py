"""Small copies of images: what makes an artifact of the stage thumbnails."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...data import ImageSet
from ...storage.content import save_array

SIDE = 16
"""Rows and columns of a small copy; fewer where an image has fewer pixels."""

BATCH = 16
"""Images read at a time."""

LUMA = (0.299, 0.587, 0.114)
"""Rec. 601, as JPEG weighs colours."""


def write_small_copies(folder: Path, stimuli: ImageSet) -> None:
    """Write (N, h, w) copies of `stimuli`."""
    parts = [small_copies(images) for _, images in stimuli.batches(BATCH)]
    parts = parts or [np.zeros((0, SIDE, SIDE), np.float32)]
    save_array(folder, "thumbnails", np.concatenate(parts))


def small_copies(images: np.ndarray) -> np.ndarray:
    """(n, h, w) float32 mean luminance over a grid, of `images` (n, H, W, 3) uint8 or float in [0, 1]."""
    white = 255.0 if images.dtype == np.uint8 else 1.0
    copies = sum(images[..., k].astype(np.float32) * weight for k, weight in enumerate(LUMA))
    for axis in (1, 2):
        edges = np.linspace(0, copies.shape[axis], min(SIDE, copies.shape[axis]) + 1).astype(np.int64)
        sizes = np.diff(edges).reshape([-1 if k == axis else 1 for k in range(3)])
        copies = np.add.reduceat(copies, edges[:-1], axis=axis) / sizes
    return (copies / white).astype(np.float32)
