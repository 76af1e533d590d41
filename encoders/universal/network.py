"""The universal brain encoder's network, after the paper (Beliy et al. 2024, arXiv 2406.12179).

No reference vectors exist: the authors' module is not public.  Its sizes are; how they are put together
is inferred from the paper's text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VoxelAttention(nn.Module):
    """A voxel's embedding asks where and in which layers of the image to look, and how to weigh what is
    there.

    layers, dims : of the image tokens, one width a layer.  width : channels of the trunk.  embedding :
        numbers that a voxel has.
    """

    def __init__(self, dims: list[int], tokens: int, *, width: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.trunk = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width), nn.GELU(), nn.Dropout(dropout))
            for dim in dims
        )
        self.position = nn.Parameter(torch.randn(tokens, width) * 0.5)
        self.where = nn.Linear(embedding, width)
        self.which = nn.Linear(embedding, len(dims))
        self.what = nn.Linear(embedding, width)
        self.bias = nn.Linear(embedding, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, layers: list[Tensor], voxels: Tensor) -> Tensor:
        """Tokens (B, N, D) of each layer and voxels' embeddings (v, E) -> responses (B, v)."""
        where = self.where(voxels) / self.position.shape[1] ** 0.5  # (v, width)
        which = self.which(voxels).softmax(-1)  # (v, layers)
        what = self.dropout(self.what(voxels))
        total = 0
        for number, (trunk, tokens) in enumerate(zip(self.trunk, layers, strict=True)):
            values = trunk(tokens)  # (B, N, width)
            attention = ((values + self.position) @ where.T).softmax(dim=1)  # (B, N, v)
            # A voxel's weighing before the sum over places: (B, N, v) in place of (B, v, width).
            seen = (attention * (values @ what.T)).sum(dim=1)  # (B, v)
            total = total + which[:, number] * seen
        return total + self.bias(voxels).squeeze(-1)
