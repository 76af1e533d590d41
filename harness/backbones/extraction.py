"""Images through a network, some at a time: what every backbone of a network does alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError, suggest

if TYPE_CHECKING:
    import torch


def check_layers(layers: Sequence[str], available: Sequence[str], *, backbone: str) -> None:
    """Raise :class:`ConfigError` for a layer that `backbone` does not have."""
    for layer in layers:
        if layer not in available:
            raise ConfigError(suggest(layer, available, what=f"layer of backbone '{backbone}'"))


def extract_layers(
    images: np.ndarray,
    layers: Sequence[str],
    forward: Callable[[np.ndarray], Mapping[str, torch.Tensor]],
    *,
    chunk: int,
) -> dict[str, np.ndarray]:
    """Images (n, H, W, 3) -> layer -> (n, ...) float32, `chunk` images in the network at a time.

    forward : images (at most `chunk`, H, W, 3) -> layer -> (as many, ...), with at least `layers`; it is
        called once where there are none, so that layers have their shapes.
    """
    import torch

    parts_of: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    # TF32 and convolutions chosen by timing would make features depend on the card and its load.
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        for start in range(0, max(len(images), 1), chunk):
            values = forward(images[start : start + chunk])
            for layer in layers:
                parts_of[layer].append(values[layer].float().cpu().numpy())
    return {layer: np.concatenate(parts) for layer, parts in parts_of.items()}
