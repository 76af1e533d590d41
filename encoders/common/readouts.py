"""From image tokens to voxels: through their mean, one after the other, or by a mask over their places."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

VOXELS_AT_ONCE = 2048
"""Voxels read out together; each has a number for every image and place."""


class Readout(nn.Module):
    """Patches (B, P, D) -> (B, V)."""

    def __init__(self, kind: str, given: int, voxels: int, *, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.kind = kind
        if kind == "mlp":
            sizes = [given, *[width] * depth]
            self.body = nn.Sequential(
                *(
                    layer
                    for a, b in itertools.pairwise(sizes)
                    for layer in (nn.Linear(a, b), nn.GELU(), nn.Dropout(dropout))
                )
            )
        else:
            recurrent = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
            self.body = recurrent(given, width, depth, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, voxels)

    def forward(self, patches: Tensor) -> Tensor:
        if self.kind == "mlp":
            return self.head(self.body(patches.mean(dim=1)))
        return self.head(self.dropout(self.body(patches)[0][:, -1]))


class FactorisedReadout(nn.Module):
    """mask (V, P), weights (V, C) and bias (V,).

    The mask is kept in units of an even one, so that a step of the optimiser is as large for many places as
    for few; `positive` takes its absolute value.
    """

    def __init__(self, places: int, channels: int, voxels: int, *, positive: bool) -> None:
        super().__init__()
        self.positive = positive
        self.mask = nn.Parameter(torch.ones(voxels, places))
        self.weights = nn.Parameter(0.01 * torch.randn(voxels, channels))
        self.bias = nn.Parameter(torch.zeros(voxels))

    def masks(self) -> Tensor:
        """(V, P) as they are applied; an even one sums to 1."""
        masks = self.mask.abs() if self.positive else self.mask
        return masks / masks.shape[1]

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, P, C) -> (B, V)."""
        parts = zip(*(p.split(VOXELS_AT_ONCE) for p in (self.masks(), self.weights, self.bias)), strict=True)
        # Channels before places: (B, P, v) is smaller than (B, v, C).
        read = [((tokens @ what.T) * where.T).sum(dim=1) + bias for where, what, bias in parts]
        return torch.cat(read, dim=1)

    def sparsity(self) -> Tensor:
        """Mean over voxels of the absolute sum of the mask times that of the weights.

        Neither factor can shrink it at the expense of the other.
        """
        return (self.masks().abs().sum(dim=1) * self.weights.abs().sum(dim=1)).mean()
