"""Pixels of small copies of an image: the backbone without a network.

``rgb16`` is the image at 16 x 16 in colour, ``grey16`` the same in luminance with the weights of
ITU-R BT.709 (as ``skimage.color.rgb2gray``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .extraction import check_layers
from .images import RESIZE, planes, resized

if TYPE_CHECKING:
    import torch

SIZES = (8, 16, 32, 64)
GREY = (0.2125, 0.7154, 0.0721)

CHUNK = 64
"""Images resized at a time."""


class Pixels:
    """Images -> (n, size, size, 3), or (n, size, size) for grey, float32 in [0, 1]."""

    version = "1"
    layers = tuple(f"{kind}{size}" for kind in ("rgb", "grey") for size in SIZES)

    def __init__(self) -> None:
        self._device = "cpu"

    def identity(self) -> str:
        """Hash of this definition; there are no weights."""
        return hashlib.sha256(f"pixels|{self.version}|{RESIZE}|{GREY}|{self.layers}".encode()).hexdigest()

    def open(self, *, device: str) -> None:
        """Resize on `device`."""
        self._device = device

    def extract(self, images: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """Images (n, H, W, 3) uint8 or float in [0, 1] -> layer -> (n, size, size[, 3]) float32."""
        check_layers(layers, self.layers, backbone="pixels")
        chunks = [images[start : start + CHUNK] for start in range(0, max(len(images), 1), CHUNK)]
        parts = [planes(chunk).to(self._device) for chunk in chunks]
        return {layer: np.concatenate([_layer(part, layer) for part in parts]) for layer in layers}


def _layer(part: torch.Tensor, layer: str) -> np.ndarray:
    import torch

    kind = layer.rstrip("0123456789")
    # Resizing is linear with weights that sum to 1; rounding may leave [0, 1] by a last bit.
    small = resized(part, int(layer[len(kind) :])).clamp(0, 1)
    if kind == "grey":
        weights = torch.tensor(GREY, dtype=small.dtype, device=small.device)
        return (small * weights[:, None, None]).sum(dim=1).cpu().numpy()
    return np.ascontiguousarray(small.permute(0, 2, 3, 1).cpu().numpy())
