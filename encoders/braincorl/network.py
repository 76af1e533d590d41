"""BraInCoRL's network: a voxel's responses to a few images -> the voxel's weights on image embeddings.

Names of parameters are those of the authors' files (leomqyu/BraInCoRL e5d0c88, Apache-2.0).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualMLP(nn.Module):
    """Norm, leaky ReLU, dropout, linear, twice, beside a linear bypass where widths differ."""

    def __init__(self, given: int, inner: int, out: int, dropout: float) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(nn.LayerNorm(given), nn.LeakyReLU(0.1), nn.Dropout(dropout), nn.Linear(given, inner)),
            *(nn.LayerNorm(inner), nn.LeakyReLU(0.1), nn.Dropout(dropout), nn.Linear(inner, out)),
        )
        self.bypass = nn.Linear(given, out) if given != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + self.bypass(x)


class GatedFeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, 2 * inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.linear1(x).chunk(2, dim=-1)
        return self.linear2(F.silu(gate) * value)


class Layer(nn.Module):
    """Pre-norm attention whose query input grows with the logarithm of the sequence's length."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.layer_norm_1, self.layer_norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.ffn = GatedFeedForward(width, inner)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.layer_norm_1(x)
        mixed, _ = self.attn(normed * math.log(x.shape[1]), normed, normed, need_weights=False)
        x = x + self.dropout(mixed)
        return x + self.ffn(self.layer_norm_2(x))


class HyperWeights(nn.Module):
    """Context of a voxel -> its weights (embedding + 1), the bias last.

    embedding : width of image embeddings, whose rows are given with length one.
    """

    def __init__(
        self,
        embedding: int,
        *,
        width: int = 560,
        layers: int = 20,
        heads: int = 10,
        inner: int = 2048,
        registers: int = 4,
        mlp_layers: int = 1,
        mlp_inner: int = 1120,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, registers, width) * width**-0.5)
        inputs = [embedding + 1, *[width] * (mlp_layers - 1)]
        self.early_layers = nn.Sequential(*(ResidualMLP(n, mlp_inner, width, dropout) for n in inputs))
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Sequential(*(Layer(width, heads, inner, dropout) for _ in range(layers)))
        outputs = [*[width] * (mlp_layers - 1), embedding + 1]
        self.weight_pred = nn.Sequential(*(ResidualMLP(width, mlp_inner, n, dropout) for n in outputs))

    def forward(self, images: Tensor, responses: Tensor) -> Tensor:
        """Embeddings (B, n, E) and responses (B, n) of B voxels -> weights (B, E + 1)."""
        tokens = self.early_layers(torch.cat([images, responses[..., None]], dim=-1))
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.weight_pred(self.transformer(self.dropout(tokens))[:, 0])


def respond(weights: Tensor, images: Tensor) -> Tensor:
    """Responses (B, q) of voxels with `weights` (B, E + 1) to embeddings (B, q, E), or (q, E) for all."""
    return images.matmul(weights[:, :-1, None]).squeeze(-1) + weights[:, -1:]
