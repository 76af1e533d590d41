"""Pieces that several of the small networks are built from."""

from __future__ import annotations

import torch
from torch import nn


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation (Ioffe & Szegedy 2015), activation."""

    def __init__(
        self,
        given: int,
        width: int,
        *,
        size: int = 3,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__(
            nn.Conv2d(given, width, size, stride, size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(width),
            activation(),
        )


class Residual(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, given: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNorm(given, width, stride=stride), ConvNorm(width, width, activation=nn.Identity)
        )
        changes = stride != 1 or given != width
        self.shortcut = (
            ConvNorm(given, width, size=1, stride=stride, activation=nn.Identity)
            if changes
            else nn.Identity()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, given, h, w) -> (n, width, h / stride, w / stride)."""
        return torch.relu(self.shortcut(x) + self.body(x))


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017); `mask` (n, 1, 1, L) is True where to look."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(n, L, width) -> the same shape."""
        n, length, width = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        # Spelt out: on a CPU the fused kernel's backward pass takes three times as long here.
        scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        mixed = scores.softmax(-1).to(v.dtype) @ v
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))


class Block(nn.Module):
    """Pre-norm transformer block (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int, *, expand: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, expand * width), nn.GELU(), nn.Linear(expand * width, width)
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(n, L, width) -> the same shape."""
        x = x + self.attention(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


def tokens(maps: torch.Tensor) -> torch.Tensor:
    """Maps (n, C, h, w) -> tokens (n, h w, C), row by row."""
    return maps.flatten(2).transpose(1, 2)
