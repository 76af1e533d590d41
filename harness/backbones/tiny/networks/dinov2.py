"""``dinov2@tiny``: a self-supervised vision transformer for the slot of DINOv2 (Oquab et al. 2024).

Trained without labels by VICReg (Bardes et al. 2022), since self-distillation needs far longer.
"""

from __future__ import annotations

import torch
from torch import nn

from ..blocks import Block, ConvNorm, tokens

WIDTH, DEPTH, HEADS, GRID = 128, 2, 4, 4


class SelfTransformer(nn.Module):
    """x (n, 3, 64, 64) -> ``patches`` (n, 16, 128), ``cls`` (n, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, 32, size=5, stride=2, activation=nn.GELU),
            ConvNorm(32, 64, stride=2, activation=nn.GELU),
            ConvNorm(64, 96, stride=2, activation=nn.GELU),
            nn.Conv2d(96, WIDTH, 2, 2),
        )
        self.cls = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position = nn.Parameter(0.02 * torch.randn(1, 1 + GRID**2, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, expand=3) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """All layers, by name."""
        x = tokens(self.stem(x))
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.position
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return {"patches": x[:, 1:], "cls": x[:, 0]}
