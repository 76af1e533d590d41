"""The transformer brain encoder: regions of cortex ask image tokens, voxels read what their region got.

Written from the description (Adeli et al. 2025, arXiv 2505.17329) and from reference vectors; the authors'
code is under the GPL and no part of this.  Names of parameters are theirs.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Readout = Literal["rois_all", "voxels"]


class QueryLayer(nn.Module):
    """Queries attend to tokens: pre-norm, no attention among queries.

    ``self_attn`` and ``norm2`` are in the authors' files and take no part.
    """

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=dropout)
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        for idle in (self.self_attn, self.norm2):
            idle.requires_grad_(False)

    def forward(self, x: Tensor, tokens: Tensor, position: Tensor, query: Tensor) -> Tensor:
        """x (B, Q, D) asks tokens (B, N, D); `position` (N, D) is in the keys alone."""
        asked = self.norm1(x) + query
        got, _ = self.multihead_attn(asked, tokens + position, tokens, need_weights=False)
        x = x + self.dropout(got)
        inner = self.dropout(torch.relu(self.linear1(self.norm3(x))))
        return x + self.dropout(self.linear2(inner))


class QueryDecoder(nn.Module):
    """Layers of queries, and a norm at the end."""

    def __init__(self, depth: int, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(QueryLayer(width, heads, inner, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)


class TokenTransformer(nn.Module):
    """The decoder, and a convolution of the authors' files that takes no part."""

    def __init__(self, depth: int, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.decoder = QueryDecoder(depth, width, heads, inner, dropout)
        self.memory_proj = nn.Conv2d(width, 64, 1).requires_grad_(False)

    def forward(self, tokens: Tensor, position: Tensor, query: Tensor) -> Tensor:
        """(B, N, D) and queries (Q, D) -> (B, Q, D)."""
        x = torch.zeros(len(tokens), *query.shape, device=tokens.device, dtype=tokens.dtype)
        for layer in self.decoder.layers:
            x = layer(x, tokens, position, query)
        return self.decoder.norm(x)


class BrainTransformer(nn.Module):
    """Image tokens of a grid -> responses of two parts of cortex, each of which has half of the queries.

    parts : voxels of the first and of the second part (left and right hemisphere).
    queries : of both parts together; of each half the last is for voxels of no region.
    mapping : ``transformer``; or ``spatial_feature``, one softmax map over the grid for each query.
    readout : ``rois_all``, voxels read their regions; ``voxels``, each voxel has a query.
    """

    def __init__(
        self,
        parts: tuple[int, int],
        *,
        queries: int,
        grid: tuple[int, int],
        width: int = 768,
        depth: int = 1,
        heads: int = 16,
        inner: int = 1024,
        dropout: float = 0.1,
        mapping: Literal["transformer", "spatial_feature"] = "transformer",
        readout: Readout = "rois_all",
    ) -> None:
        super().__init__()
        self.mapping, self.readout = mapping, readout
        self.register_buffer("position", sine_positions(grid, width), persistent=False)
        if mapping == "transformer":
            self.transformer = TokenTransformer(depth, width, heads, inner, dropout)
            self.query_embed = nn.Embedding(queries, width)
        else:
            self.spatial_embed = nn.Embedding(queries, grid[0] * grid[1])
        self.lh_embed, self.rh_embed = (nn.Sequential(nn.Linear(width, count)) for count in parts)

    def query_tokens(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, Q, D)."""
        if self.mapping == "spatial_feature":
            return self.spatial_embed.weight.softmax(-1) @ tokens
        return self.transformer(tokens, self.position, self.query_embed.weight)

    def readouts(self, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Query tokens -> of each part (B, V, queries), or (B, V) where each voxel has a query."""
        if self.readout == "voxels":
            halves = asked.split([len(embed[0].bias) for embed in (self.lh_embed, self.rh_embed)], dim=1)
            weights = ((embed[0].weight, embed[0].bias) for embed in (self.lh_embed, self.rh_embed))
            return tuple(
                (half * weight).sum(-1) + bias for half, (weight, bias) in zip(halves, weights, strict=True)
            )
        halves = asked.chunk(2, dim=1)
        return self.lh_embed(halves[0]).transpose(1, 2), self.rh_embed(halves[1]).transpose(1, 2)

    def forward(self, tokens: Tensor, *rois: Tensor) -> tuple[Tensor, Tensor]:
        """Responses (B, V) of both parts.

        rois : of each part (queries of the part, V), 1 where a voxel is in the region; a voxel of two regions
            gets the sum of both.  Not given where each voxel has a query.
        """
        if self.readout == "rois_all":
            halves = self.query_tokens(tokens).chunk(2, dim=1)
            parts = zip(halves, rois, (self.lh_embed, self.rh_embed), strict=True)
            return tuple(read_regions(half, mask.to(half.dtype), embed[0]) for half, mask, embed in parts)
        return self.readouts(self.query_tokens(tokens))


def read_regions(asked: Tensor, mask: Tensor, readout: nn.Linear) -> Tensor:
    """Region tokens (B, Q, D) -> voxels (B, V), each the sum of its read-out of the regions that it is in.

    mask : (Q, V).  Voxels of the same regions are read together: what is summed over regions comes first.
    """
    kinds, kind = torch.unique(mask, dim=1, return_inverse=True)
    summed = kinds.T @ asked  # (B, kinds, D)
    members = [torch.nonzero(kind == k).squeeze(1) for k in range(kinds.shape[1])]
    values = [summed[:, k] @ readout.weight[own].T for k, own in enumerate(members)]
    order = torch.argsort(torch.cat(members))
    return torch.cat(values, dim=1)[:, order] + readout.bias * mask.sum(dim=0)


def sine_positions(grid: tuple[int, int], width: int) -> Tensor:
    """(rows x columns, width) sines and cosines of the row, then of the column (Carion et al. 2020)."""
    half = width // 2
    rates = 1e4 ** (2 * (torch.arange(half, device="cpu") // 2) / half)
    parts = []
    for axis, length in enumerate(grid):
        place = torch.arange(1, length + 1, dtype=torch.float32, device="cpu") / (length + 1e-6) * 2 * math.pi
        angles = place[:, None] / rates
        waves = torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)
        parts.append((waves[:, None] if axis == 0 else waves[None]).expand(*grid, half))
    return torch.cat(parts, dim=-1).flatten(0, 1)
