"""GNet8 as a plugin that is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.nn.resize import resize_planes

from ..common.network import Batch, FittedSubject, NetworkEncoder, Stage
from ..common.params import Training

if TYPE_CHECKING:
    from torch import Tensor, nn


class GNetEncoder(NetworkEncoder):
    """Pixels -> two sets of maps that all subjects share -> a pooling field and weights for each voxel."""

    name = "gnet"
    axes: ClassVar[Mapping[str, int]] = {"pixels": 4}

    @dataclass(frozen=True, kw_only=True)
    class Params(Training):
        """Sizes and training; the defaults are the published ones.

        layer : colour pixels.  side : in pixels, which the network sees.
        trunk, passed : channels of a block that are read out, and that only go on.
        dropout : share of maps left out.  sparsity : weight of the read-out's absolute weights.
        """

        layer: str = "rgb64"
        side: int = 227
        trunk: int = 64
        passed: int = 192
        dropout: float = 0.5
        sparsity: float = 0.1
        train_on: Literal["trials", "means"] = "means"
        epochs: int = 50
        batch: int = 100
        patience: int = 8

    def layers(self) -> Mapping[str, tuple[str, str]]:
        """The pixels."""
        return {"pixels": ("pixels", self.params.layer)}

    def network(self, shapes: Mapping[str, tuple[int, ...]], subjects: Sequence[FittedSubject]) -> nn.Module:
        """``shared`` and ``readouts``, one a subject."""
        import torch
        from torch import nn

        from harness.backbones.gnet_network import Readout, Shared

        p = self.params
        network = nn.Module()
        network.shared = Shared((3, 1, 1), trunk=p.trunk, passed=p.passed, dropout=p.dropout)
        network.shared.mu.data.fill_(0.5)
        network.shared.mu.requires_grad_(False)
        with torch.no_grad():
            maps = network.shared.eval()(torch.zeros(1, 3, p.side, p.side))
        network.shared.train()
        sides, count = [values.shape[-1] for values in maps], sum(values.shape[1] for values in maps)
        network.readouts = nn.ModuleList(Readout(s.voxels, sides, count) for s in subjects)
        for readout in network.readouts:
            nn.init.normal_(readout.w, std=0.02)
        return network

    def stages(self, network: nn.Module, subjects: Sequence[FittedSubject]) -> Sequence[Stage]:
        """Squared error summed over voxels, and absolute weights."""
        p = self.params

        def loss(batch: Batch) -> Mapping[str, Tensor]:
            readout = network.readouts[batch.subject]
            error = readout(network.shared(self._pictures(batch.images))) - batch.voxels
            terms = {"sse": error.square().sum(dim=1).mean()}
            return terms | (
                {"sparsity": p.sparsity * readout.w.abs().sum() / len(error)} if p.sparsity else {}
            )

        return [Stage.of(p, "maps", network, loss, schedule="cosine")]

    def respond(self, model: Any, images: Mapping[str, Tensor], subject: int, seeds: np.ndarray) -> Tensor:
        """One pass."""
        return model.network.readouts[subject](model.network.shared(self._pictures(images)))

    def _pictures(self, images: Mapping[str, Tensor]) -> Tensor:
        return pictures(images["pixels"], self.params.side)


def pictures(pixels: Tensor, side: int) -> Tensor:
    """(B, size, size, 3) -> (B, 3, side, side)."""
    return resize_planes(pixels.movedim(-1, 1), (side, side), antialias=True)
