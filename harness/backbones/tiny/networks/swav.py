"""``swav@tiny``: a residual network trained without labels by swapped assignments (Caron et al. 2020)."""

from __future__ import annotations

import torch
from torch import nn

from ..blocks import ConvNorm, Residual

UNITS = 128


class SmallResNet(nn.Module):
    """x (n, 3, 64, 64) -> ``stage3`` (n, 80, 8, 8), ``avgpool`` (n, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Sequential(
            ConvNorm(3, 32, stride=2), Residual(32, 48, stride=2), Residual(48, 80, stride=2)
        )
        self.late = Residual(80, UNITS, stride=2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """All layers, by name."""
        third = self.early(x)
        return {"stage3": third, "avgpool": self.late(third).mean((2, 3))}
