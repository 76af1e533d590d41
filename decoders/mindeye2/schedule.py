"""What changes during training: the retrieval loss, its temperature, and the learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from harness.api import ConfigError
from harness.training import OneCycle

if TYPE_CHECKING:
    import torch
    from torch import nn

MIXCO_SHARE = 0.33
SOFT_START, SOFT_END = 0.004, 0.0075
LEARNING_RATE, WEIGHT_DECAY = 3e-4, 1e-2


def mixco_epochs(epochs: int, *, share: float = MIXCO_SHARE) -> int:
    """Number of first epochs with BiMixCo; the others have SoftCLIP."""
    return int(share * epochs)


def soft_temperature(epoch: int, epochs: int, *, share: float = MIXCO_SHARE) -> float | None:
    """Temperature of SoftCLIP in `epoch` (from 0), or None while BiMixCo lasts.

    It rises from 0.004 to 0.0075 along half a cosine.
    """
    first = mixco_epochs(epochs, share=share)
    if epoch < first:
        return None
    last = epochs - first - 1
    place = (epoch - first) / last if last else 0.0
    return SOFT_END + (SOFT_START - SOFT_END) / 2 * (1 + math.cos(math.pi * place))


def build_optimizer(
    network: nn.Module, *, learning_rate: float = LEARNING_RATE, decay: float = WEIGHT_DECAY
) -> torch.optim.AdamW:
    """AdamW in the public groups.

    All of the ridge layers decay, biases included: that is the ridge penalty.  Elsewhere names that
    contain "bias" do not, which spares the relative position table and not the norm gains.
    """
    import torch

    groups = [{"params": list(network.ridge.parameters()), "weight_decay": decay}]
    for part in (network.backbone, network.diffusion_prior.net):
        named = list(part.named_parameters())
        groups.append({"params": [p for n, p in named if "bias" not in n], "weight_decay": decay})
        groups.append({"params": [p for n, p in named if "bias" in n], "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def rates(*, steps: int, epochs: int, learning_rate: float = LEARNING_RATE) -> OneCycle:
    """One cycle over `steps`: up during two epochs from 1/25, then down to 1/25,000.

    As with torch's default Adam's first beta moves too, between 0.95 and 0.85; the public code keeps it.
    """
    if epochs < 3:
        raise ConfigError(f"epochs is {epochs}; the learning rate rises for two, so give at least 3")
    return OneCycle(learning_rate, steps, rise=2 / epochs, first=25, last=1000)
