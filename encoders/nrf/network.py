"""NRF's networks: image features and a place in the brain -> the response there.

Names of parameters are those of the authors' files (haomiao8/NRF b950f91, Apache-2.0).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeatureMerger(nn.Module):
    """Patch tokens of two early blocks -> one vector of length one."""

    def __init__(self, patches: int, patch_dim: int, out: int, *, inner: int = 128) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(patch_dim, inner), nn.Linear(patch_dim, inner)
        self.fuse1, self.fuse2 = nn.Linear(patches * inner, out), nn.Linear(patches * inner, out)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two of (B, patches, patch_dim) -> (B, 2 out)."""
        parts = [self.fuse1(self.lin1(first).flatten(1)), self.fuse2(self.lin2(second).flatten(1))]
        return F.normalize(torch.cat(parts, dim=-1), dim=-1)


class FieldMLP(nn.Module):
    """Linear maps with ReLU between them; the last gives one number."""

    def __init__(self, given: int, *, width: int = 4096, layers: int = 8) -> None:
        super().__init__()
        sizes = [given, *[width] * (layers - 1), 1]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))

    def forward(self, image: Tensor, place: Tensor) -> Tensor:
        """Features of images (B, D) and of places (B, v, P), or (v, P) for all images -> (B, v)."""
        first, split = self.layers[0], image.shape[-1]
        # The first map is linear: images and places go through it apart, B + v rows in place of B x v.
        x = F.linear(image, first.weight[:, :split])[:, None] + F.linear(
            place, first.weight[:, split:], first.bias
        )
        for layer in self.layers[1:]:
            x = layer(torch.relu(x))
        return x.squeeze(-1)


def fourier_matrix(frequencies: int, spread: float) -> np.ndarray:
    """(3, frequencies) float32, drawn once and for all."""
    return np.random.default_rng(42).normal(scale=spread, size=(3, frequencies)).astype(np.float32)


def fourier_features(coordinates: Tensor, matrix: Tensor) -> Tensor:
    """Places (..., 3) in 0..1 -> (..., 2 frequencies): sines, then cosines."""
    angles = coordinates @ matrix
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def losses(predicted: Tensor, measured: Tensor, share: float = 0.1) -> dict[str, Tensor]:
    """(1 - share) of the squared error less `share` of the mean cosine of an image's voxels, (B, v) each."""
    cosine = F.cosine_similarity(predicted, measured, dim=-1).mean()
    return {"mse": (1 - share) * F.mse_loss(predicted, measured), "cosine": -share * cosine}


def unit_places(millimetres: Sequence[Sequence[float]]) -> np.ndarray:
    """MNI coordinates (V, 3) in mm -> 0..1 along each axis of the template."""
    size, origin = np.array([182.0, 218.0, 182.0]), np.array([92.0, 126.0, 72.0])
    return ((np.asarray(millimetres, np.float64) + origin) / size).astype(np.float32)
