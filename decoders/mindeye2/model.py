"""Ridge, backbone and prior in one module: what a MindEye2 checkpoint holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from harness.api import ConfigError
from harness.nn.diffusion_prior import BrainDiffusionPrior, PriorNetwork, PriorSettings

from .backbone import BackboneOutput, BackboneSettings, BrainNetwork, RidgeLayers


@dataclass(frozen=True)
class ModelSettings:
    """Sizes of the trained part; the defaults are those of the released models."""

    backbone: BackboneSettings = field(default_factory=BackboneSettings)
    prior: PriorSettings = field(default_factory=PriorSettings)

    def __post_init__(self) -> None:
        for name in ("tokens", "token_dim"):
            ours, theirs = getattr(self.backbone, name), getattr(self.prior, name)
            if ours != theirs:
                raise ConfigError(f"mindeye2 backbone has {name} {ours}, prior {theirs}; they must be equal")


class MindEye2Network(nn.Module):
    """Children ``ridge``, ``backbone`` and ``diffusion_prior``, the prefixes of the public files.

    Parameters
    ----------
    voxels : number of voxels of each subject, in ascending order of subjects.
    """

    def __init__(self, voxels: Sequence[int], settings: ModelSettings) -> None:
        super().__init__()
        self.settings = settings
        self.ridge = RidgeLayers(voxels, settings.backbone.hidden)
        self.backbone = BrainNetwork(settings.backbone)
        self.diffusion_prior = BrainDiffusionPrior(PriorNetwork(settings.prior))

    def forward(self, responses: Sequence[torch.Tensor]) -> BackboneOutput:
        """One (B_i, V_i) batch per subject -> outputs of all, subjects one after another."""
        shared = [self.ridge(batch, subject=k) for k, batch in enumerate(responses)]
        return self.backbone(torch.cat(shared))


def mean_over_repeats(
    output: BackboneOutput, index: torch.Tensor, count: int, *, faithful: bool = False
) -> BackboneOutput:
    """Average the outputs of an image's trials, as the public inference does.

    `index` (T,) is the image of each trial, `count` the number of images.  Each trial counts once;
    the public code runs every image three times and so takes two repeats as (a, b, a), which
    `faithful` keeps.
    """
    shares = torch.ones(len(index), device=index.device)
    if faithful:
        trials = torch.arange(len(index), device=index.device)
        first = trials.new_zeros(count).scatter_reduce(0, index, trials, "amin", include_self=False)
        shares[first[torch.bincount(index, minlength=count) == 2]] = 2.0

    def mean(values: torch.Tensor | None) -> torch.Tensor | None:
        if values is None:
            return None
        tail = (1,) * (values.ndim - 1)
        weight = shares.to(values.dtype)
        total = values.new_zeros((count, *values.shape[1:]))
        total.index_add_(0, index, values * weight.view(-1, *tail))
        return total / torch.bincount(index, weights=weight, minlength=count).to(values).view(-1, *tail)

    return BackboneOutput(*(mean(values) for values in output))
