"""What resizing and preprocessing are compared with: the definition in float64, the notebook's sizes."""

from __future__ import annotations

import contextlib

import numpy as np
import torch
from torchvision.transforms import Normalize

# size after 256 and statistics, as MindEye2's notebook has them
NOTEBOOK = {"alexnet": 256, "inception": 342, "efficientnet": 255, "swav": 224, "clip": 224}


def normal(network: str) -> Normalize:
    if network == "clip":
        return Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    return Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255.0


@contextlib.contextmanager
def torch_threads(number):
    """Torch's bilinear kernel is another one, with other last digits, when it has a single thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def reference(images, size, *, antialias):
    """The definition: torch's coordinates in the type of `images`, the rest in float64, dense."""
    dtype, resized = images.dtype.type, images.astype(np.float64)
    for axis, wanted in zip((1, 2), size):
        matrix = dense_weights(images.shape[axis], wanted, antialias=antialias, dtype=dtype)
        resized = np.moveaxis(np.tensordot(matrix, resized, (1, axis)), 0, axis)
    return resized


def dense_weights(given, wanted, *, antialias, dtype):
    matrix = np.zeros((wanted, given))
    scale = dtype(given) / dtype(wanted)
    for row in range(wanted):
        centre = dtype(scale * (dtype(row) + dtype(0.5)))
        if antialias:
            reach = max(float(scale), 1.0)
            away = np.abs(np.arange(given) + 0.5 - float(centre)) / reach
            matrix[row] = np.maximum(0, 1 - away)
            matrix[row] /= matrix[row].sum()
        else:
            position = max(float(dtype(centre - dtype(0.5))), 0.0)
            below = min(int(position), given - 1)
            matrix[row, below] += 1 - (position - below)
            matrix[row, min(below + 1, given - 1)] += position - below
    return matrix


def coordinate_rounding(*sides, dtype=np.float32):
    """What images in [0, 1] differ by where coordinates up to `sides` were rounded once more or once less.

    Torch's kernels for AVX2 and AVX-512 multiply and subtract in one step, those for one thread and for
    several in another order; a pixel changes by at most as much as its place does.
    """
    return 2e-6 * (np.finfo(dtype).eps / np.finfo(np.float32).eps) + sum(sides) * np.finfo(dtype).eps
