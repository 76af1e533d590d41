"""Residual blocks and small networks that both stages are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.nn.mamba2 import Mamba2

from .params import ChasmParams


class MambaBlock(nn.Module):
    """Layer norm, Mamba-2, residual; `bidirectional` averages both directions of one layer."""

    def __init__(self, width: int, params: ChasmParams, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mixer = Mamba2(
            width,
            d_state=params.state,
            d_conv=params.convolution,
            expand=params.expand,
            headdim=params.head_width,
        )
        self.dropout = nn.Dropout(params.dropout)
        self.bidirectional = bidirectional

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        normed = self.norm(x)
        mixed = self.mixer(normed)
        if self.bidirectional:
            mixed = (mixed + self.mixer(normed.flip(1)).flip(1)) / 2
        return x + self.dropout(mixed)


class AttentionBlock(nn.Module):
    """Pre-norm transformer layer, the baseline of the paper's Table 2a."""

    def __init__(self, width: int, params: ChasmParams) -> None:
        super().__init__()
        self.heads = params.attention_heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = two_layers(width, 4 * width, width, dropout=params.dropout)
        self.dropout = nn.Dropout(params.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        parts = self.qkv(self.norm_attention(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (B, heads, L, D / heads)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.dropout(self.out(attended))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


class MambaStack(nn.Module):
    """`depth` blocks and a last norm."""

    def __init__(self, width: int, depth: int, params: ChasmParams, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            MambaBlock(width, params, bidirectional=bidirectional) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def two_layers(inner: int, hidden: int, outer: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Linear, GELU, dropout, linear."""
    return nn.Sequential(nn.Linear(inner, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, outer))


def positions(length: int, width: int, *, sd: float = 0.02) -> nn.Parameter:
    """(1, length, width) learnable position embeddings."""
    return nn.Parameter(sd * torch.randn(1, length, width))


def normal_like(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers on the CPU, so that a seed means the same on every device."""
    return torch.randn(shape, generator=generator)
