"""``bigg@tiny``: an image-text model whose patch tokens decoders predict and generators draw from.

It stands where OpenCLIP's ViT-bigG stands at full size: a vision transformer trained against captions
(Radford et al. 2021), read at its patch tokens after the last norm.  No metric looks through it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..blocks import Block, ConvNorm, tokens
from .clip import TextTower

WIDTH, DEPTH, HEADS, GRID = 64, 4, 4, 4


class BigG(nn.Module):
    """x (n, 3, 64, 64) -> ``block1`` .. ``block4`` (n, 17, 64) with the class token first, and after
    the last norm ``tokens`` (n, 16, 64) of a 4 x 4 grid and ``image`` (n, 64) of unit norm.
    :meth:`text` puts captions into the space of ``image``."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, 32, stride=2, activation=nn.GELU),
            ConvNorm(32, 64, stride=2, activation=nn.GELU),
            ConvNorm(64, 96, stride=2, activation=nn.GELU),
            ConvNorm(96, 128, stride=2, activation=nn.GELU),
            nn.Conv2d(128, WIDTH, 1),
        )
        self.cls = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position = nn.Parameter(0.02 * torch.randn(1, 1 + GRID**2, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(2 * WIDTH, 64)
        self.captions = TextTower()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """All layers, by name."""
        outputs = {}
        x = tokens(self.stem(x))
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.position
        for number, block in enumerate(self.blocks, 1):
            x = outputs[f"block{number}"] = block(x)
        x = self.norm(x)
        patches = x[:, 1:]
        # The mean over patches keeps what the caption says in the tokens, not in the class token alone.
        image = self.out(torch.cat([x[:, 0], patches.mean(1)], dim=1))
        return {**outputs, "tokens": patches, "image": functional.normalize(image.float(), dim=-1)}

    def text(self, numbers: torch.Tensor) -> torch.Tensor:
        """(n, 64) of unit norm."""
        return functional.normalize(self.captions(numbers).float(), dim=-1)
