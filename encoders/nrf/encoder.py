"""NRF as a plugin."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.api import VoxelSpace

from ..common.network import Batch, FittedSubject, NetworkEncoder, Stage
from ..common.params import Training

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

VOXELS_AT_ONCE = 4096
"""Voxels predicted together."""


class NrfEncoder(NetworkEncoder):
    """Image features and a place -> the response there; subjects share everything, a voxel is its
    coordinates.

    Places are MNI millimetres, or stretched to 0..1 for each subject; a space without coordinates puts its
    voxels on a line in their order.
    """

    name = "nrf"
    axes: ClassVar[Mapping[str, int]] = {"first": 3, "second": 3, "embedding": 2}

    @dataclass(frozen=True, kw_only=True)
    class Params(Training):
        """Sizes and training; the defaults are the published ones.

        first, second : layers of patch tokens, with the class token first (``skip`` of them are left out).
        embedding : layer of one vector an image.  merged, inner : of each half of the merged tokens.
        frequencies, spread : of the Fourier features of places.  width, depth : of the field.
        coordinates : ``mni`` in millimetres, or ``stretched`` to 0..1.
        voxels : drawn for each batch.  cosine : share of the loss.
        """

        backbone: str = "dinov2"
        first: str = "block4"
        second: str = "block7"
        embedding: str = "cls"
        skip: int = 1
        merged: int = 512
        inner: int = 128
        frequencies: int = 32
        spread: float = 32.0
        width: int = 4096
        depth: int = 8
        coordinates: Literal["mni", "stretched"] = "mni"
        voxels: int = 2000
        cosine: float = 0.1
        train_on: Literal["trials", "means"] = "means"
        epochs: int = 30
        batch: int = 32
        rate: float = 3e-4
        decay: float = 0.015
        patience: int = 5

    def layers(self) -> Mapping[str, tuple[str, str]]:
        """Two early layers and the embedding."""
        p = self.params
        return {name: (p.backbone, getattr(p, name)) for name in ("first", "second", "embedding")}

    def facts(self, space: VoxelSpace) -> dict[str, np.ndarray]:
        """``places`` (V, 3) in 0..1."""
        from .network import unit_places

        if space.coordinates is None:
            logger.warning("nrf: %s has no coordinates; its voxels lie on a line, in order", space.subject)
            line = np.linspace(0, 1, space.n_voxels, dtype=np.float32)[space.valid]
            return {"places": np.stack([line, np.zeros_like(line), np.zeros_like(line)], axis=1)}
        given = np.asarray(space.coordinates, np.float64)[space.valid]
        given = np.pad(given, ((0, 0), (0, 3 - given.shape[1])))
        if self.params.coordinates == "mni":
            return {"places": unit_places(given)}
        low, high = given.min(axis=0), given.max(axis=0)
        return {"places": ((given - low) / np.where(high > low, high - low, 1)).astype(np.float32)}

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """``merger`` and ``field``."""
        import torch
        from torch import nn

        from .network import FeatureMerger, FieldMLP, fourier_features, fourier_matrix

        p, (tokens, width) = self.params, shapes["first"]
        network = nn.Module()
        network.merger = FeatureMerger(tokens - p.skip, width, p.merged, inner=p.inner)
        given = 2 * p.merged + shapes["embedding"][0] + 2 * p.frequencies
        network.field = FieldMLP(given, width=p.width, layers=p.depth)
        matrix = torch.from_numpy(fourier_matrix(p.frequencies, p.spread))
        for number, subject in enumerate(subjects):
            waves = fourier_features(torch.from_numpy(subject.facts["places"]), matrix)
            network.register_buffer(f"waves{number}", waves, persistent=False)
        return network

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Squared error and cosine of some voxels."""
        from .network import losses

        p = self.params

        def loss(batch: Batch) -> Mapping[str, Tensor]:
            chosen = batch.some_voxels(p.voxels)
            image = self._image(network, batch.images)
            predicted = network.field(image, getattr(network, f"waves{batch.subject}")[chosen])
            return losses(predicted, batch.voxels[:, chosen], p.cosine)

        return [Stage.of(p, "field", network, loss)]

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """All voxels, some at a time."""
        import torch

        image = self._image(model.network, images)
        waves = getattr(model.network, f"waves{subject}")
        parts = [model.network.field(image, part) for part in waves.split(VOXELS_AT_ONCE)]
        return torch.cat(parts, dim=1)

    def _image(self, network: nn.Module, images: Mapping[str, Tensor]) -> Tensor:
        import torch

        first, second = (images[name][:, self.params.skip :] for name in ("first", "second"))
        return torch.cat([network.merger(first, second), images["embedding"]], dim=-1)
