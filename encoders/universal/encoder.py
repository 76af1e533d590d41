"""The universal brain encoder as a plugin."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.api import Features, SubjectData

from ..common.network import Batch, FittedSubject, NetworkEncoder, Stage
from ..common.params import Training

if TYPE_CHECKING:
    from torch import Tensor, nn

VOXELS_AT_ONCE = 1024
"""Voxels predicted together."""


class UniversalEncoder(NetworkEncoder):
    """Layers of image tokens -> any voxel of any subject, through an embedding that each voxel has.

    Subjects of a fit share the network; `adapt` learns a new subject's embeddings and leaves the network.
    """

    name = "universal"

    @dataclass(frozen=True, kw_only=True)
    class Params(Training):
        """Sizes and training; the defaults are the published ones.

        tokens : layers of the backbone, of (N, D) each, in which `skip` first tokens are left out.
        width : of the trunk.  embedding : numbers a voxel has.  voxels : drawn for each batch.
        cosine : share of the cosine over an image's voxels in the loss.  adapt_epochs : of a new subject.
        """

        backbone: str = "dinov2"
        tokens: tuple[str, ...] = ("block1", "block3", "block6", "block9", "block12")
        skip: int = 1
        width: int = 128
        embedding: int = 256
        dropout: float = 0.25
        voxels: int = 5000
        cosine: float = 0.1
        adapt_epochs: int = 50
        train_on: Literal["trials", "means"] = "means"
        epochs: int = 30
        batch: int = 32
        rate: float = 1e-3
        patience: int = 6

    def layers(self) -> Mapping[str, tuple[str, str]]:
        """All layers of tokens."""
        return {layer: (self.params.backbone, layer) for layer in self.params.tokens}

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """``shared``, and an embedding (V, E) of each subject's voxels."""
        from torch import nn

        from .network import VoxelAttention

        p = self.params
        network = nn.Module()
        network.shared = VoxelAttention(
            [shapes[layer][-1] for layer in p.tokens],
            shapes[p.tokens[0]][0] - p.skip,
            width=p.width,
            embedding=p.embedding,
            dropout=p.dropout,
        )
        network.voxels = nn.ParameterList(self._embedding(subject) for subject in subjects)
        return network

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Squared error less a share of the cosine, on some voxels."""
        import torch.nn.functional as F

        p = self.params

        def loss(batch: Batch) -> Mapping[str, Tensor]:
            chosen = batch.some_voxels(p.voxels)
            measured = batch.voxels[:, chosen]
            predicted = network.shared(self._tokens(batch.images), network.voxels[batch.subject][chosen])
            cosine = F.cosine_similarity(predicted, measured, dim=-1).mean()
            return {"mse": F.mse_loss(predicted, measured), "cosine": -p.cosine * cosine}

        return [Stage.of(p, "voxels", network, loss, schedule="cosine")]

    def adapt(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Embeddings of one more subject's voxels; the network of the first fit stays as it is."""
        other = _Adapting(replace(self.params, epochs=self.params.adapt_epochs))
        other.source = self.models[0].network.shared
        other.fit([subject], features, seed=seed, device=device, checkpoint_dir=checkpoint_dir)
        self.models += other.models
        self.history |= {f"adapted {subject.space.subject}": curve for curve in other.history.values()}

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """All voxels, some at a time."""
        import torch

        tokens, network = self._tokens(images), model.network
        parts = network.voxels[subject].split(VOXELS_AT_ONCE)
        return torch.cat([network.shared(tokens, part) for part in parts], dim=1)

    def _tokens(self, images: Mapping[str, Tensor]) -> list[Tensor]:
        return [images[layer][:, self.params.skip :] for layer in self.params.tokens]

    def _embedding(self, subject: FittedSubject) -> nn.Parameter:
        import torch
        from torch import nn

        return nn.Parameter(torch.randn(subject.voxels, self.params.embedding) * 0.5)


class _Adapting(UniversalEncoder):
    """A fit of embeddings on a network that is given and frozen."""

    source: nn.Module

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """The given network, and new embeddings."""
        network = super().network(shapes, subjects)
        network.shared = copy.deepcopy(self.source).requires_grad_(False)
        return network
