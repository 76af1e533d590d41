"""The transformer brain encoder as a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.api import ConfigError, VoxelSpace

from ..common.network import Batch, FittedSubject, SeparateEncoder, Stage
from ..common.tokens import TokenEncoder, TokenTraining

if TYPE_CHECKING:
    from torch import Tensor, nn


class BrainTransformerEncoder(TokenEncoder, SeparateEncoder):
    """Image tokens -> responses, each voxel through what its regions asked of the image.

    Our spaces have no hemispheres: the two parts are the first and the second half of the voxels, each with
    queries for every region.  Voxels of no region share the last query of their half.
    """

    name = "brain-transformer"
    presets = "presets.yaml"
    scaled: ClassVar[tuple[str, ...]] = ("tokens",)

    @dataclass(frozen=True, kw_only=True)
    class Params(TokenTraining):
        """Sizes and training; the defaults are the published ones.

        mapping : ``transformer``, or one softmax map for each region.
        readout : ``rois_all``, by region; ``voxels``, a query for each voxel.
        """

        mapping: Literal["transformer", "spatial_feature"] = "transformer"
        readout: Literal["rois_all", "voxels"] = "rois_all"
        depth: int = 1
        heads: int = 16
        inner: int = 1024
        dropout: float = 0.1
        train_on: Literal["trials", "means"] = "means"
        validation: float = 0.1
        epochs: int = 15
        batch: int = 16
        rate: float = 5e-4
        decay: float = 1e-4
        clip: float = 0.1

    def facts(self, space: VoxelSpace) -> dict[str, np.ndarray]:
        """``rois`` (R + 1, V): regions in the order of their names, and voxels of none."""
        regions = space.rois or space.groups
        members = [np.asarray(regions[name])[space.valid] for name in sorted(regions)]
        rows = np.array([*members, np.zeros(space.n_valid, bool)])
        rows[-1] = ~rows.any(axis=0)
        return {"rois": rows.astype(np.float32)}

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """See :class:`.network.BrainTransformer`."""
        import torch

        from .network import BrainTransformer

        p, (subject,), (tokens, width) = self.params, subjects, shapes["tokens"]
        side = isqrt(tokens)
        if side**2 != tokens or width % 4 or width % p.heads:
            raise ConfigError(
                f"encoder.layer {p.layer} has {tokens} tokens of {width}; expected a square grid "
                f"and a width that 4 and encoder.heads={p.heads} divide"
            )
        first = subject.voxels // 2
        parts = first, subject.voxels - first
        queries = subject.voxels if p.readout == "voxels" else 2 * len(subject.facts["rois"])
        network = BrainTransformer(
            parts,
            queries=queries,
            grid=(side, side),
            width=width,
            depth=p.depth,
            heads=p.heads,
            inner=p.inner,
            dropout=p.dropout,
            mapping=p.mapping,
            readout=p.readout,
        )
        rois = torch.from_numpy(subject.facts["rois"])
        for name, part in zip(("lh", "rh"), rois.split(list(parts), dim=1), strict=True):
            network.register_buffer(f"{name}_rois", part.contiguous(), persistent=False)
        return network

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Squared error of either part, summed."""
        import torch.nn.functional as F

        def loss(batch: Batch) -> Mapping[str, Tensor]:
            predicted = network(batch.images["tokens"], network.lh_rois, network.rh_rois)
            measured = batch.voxels.split([part.shape[1] for part in predicted], dim=1)
            errors = [F.mse_loss(a, b) for a, b in zip(predicted, measured, strict=True)]
            return dict(zip(("first", "second"), errors, strict=True))

        return [Stage.of(self.params, "queries", network, loss)]

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """One pass."""
        import torch

        network = model.network
        return torch.cat(network(images["tokens"], network.lh_rois, network.rh_rois), dim=1)
