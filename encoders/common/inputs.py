"""Features of images as networks see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.api import ConfigError, Features, Stimuli

from .training_data import moments

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Inputs:
    """Layers of N images, and what standardises them.

    layers : name -> (N, ...), perhaps memory maps.  scales : name -> mean and SD of the last axis; a layer
        without is given as it is.
    """

    layers: Mapping[str, np.ndarray]
    scales: Mapping[str, tuple[Tensor, Tensor]]

    def rows(self, images: np.ndarray, device: str) -> dict[str, Tensor]:
        """Name -> (n, ...) float32 of some images, on `device`."""
        import torch

        out = {}
        for name, values in self.layers.items():
            rows = torch.from_numpy(np.asarray(values[images], np.float32)).to(device)
            if name in self.scales:
                mean, sd = (part.to(device) for part in self.scales[name])
                rows = (rows - mean) / sd
            out[name] = rows
        return out

    def __len__(self) -> int:
        return len(next(iter(self.layers.values())))


def read(
    wanted: Mapping[str, tuple[str, str]], axes: Mapping[str, int], features: Features, stimuli: Stimuli
) -> dict[str, np.ndarray]:
    """Name -> layer of `stimuli`; :class:`ConfigError` for one that has not `axes` axes, images included."""
    out = {}
    for name, (backbone, layer) in wanted.items():
        values = features.layer(backbone, layer, stimuli)
        if name in axes and values.ndim != axes[name]:
            raise ConfigError(
                f"layer '{layer}' of backbone '{backbone}' has shape {tuple(values.shape)}; expected "
                f"{axes[name]} axes, images first; harness list {backbone} shows its layers"
            )
        out[name] = values
    return out


def scales_of(layers: list[Mapping[str, np.ndarray]], names: tuple[str, ...]) -> dict[str, tuple]:
    """Mean and SD of every feature over all images and positions."""
    import torch

    return {
        name: tuple(torch.from_numpy(part) for part in moments([features[name] for features in layers]))
        for name in names
    }
