"""``scenes@tiny``: a vision transformer with a convolutional stem, the backbone for encoders.

Class token and an 8 x 8 grid of patch tokens as in Dosovitskiy et al. 2021; four strided convolutions
in place of the linear patch embedding, which learns far more in few steps (Xiao et al. 2021).
"""

from __future__ import annotations

import torch
from torch import nn

from ..blocks import Block, ConvNorm, tokens

WIDTH, DEPTH, HEADS, GRID = 96, 4, 3, 8


class SceneTransformer(nn.Module):
    """x (n, 3, 64, 64) -> ``stem`` (n, 64, 96), ``block1`` .. ``block4`` (n, 65, 96) with the class
    token first, and after the last norm ``cls`` (n, 96), ``patches`` (n, 64, 96)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, 32, stride=2, activation=nn.GELU),
            ConvNorm(32, 64, stride=2, activation=nn.GELU),
            ConvNorm(64, WIDTH, stride=2, activation=nn.GELU),
            ConvNorm(WIDTH, WIDTH, activation=nn.GELU),
        )
        self.cls = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position = nn.Parameter(0.02 * torch.randn(1, 1 + GRID**2, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """All layers, by name."""
        outputs = {"stem": tokens(self.stem(x))}
        x = torch.cat([self.cls.expand(len(x), -1, -1), outputs["stem"]], dim=1) + self.position
        for number, block in enumerate(self.blocks, 1):
            x = outputs[f"block{number}"] = block(x)
        x = self.norm(x)
        return {**outputs, "cls": x[:, 0], "patches": x[:, 1:]}
