"""MindSimulator's autoencoder of responses; its estimator is the diffusion prior of :mod:`harness.nn`.

Names of parameters are those of the authors' files (Noirebao/MindSimulator 257ec5f, MIT).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from harness.nn.contrast import soft_clip_loss, unit_rows
from harness.nn.conv1d import token_mlp


class ResidualStack(nn.Module):
    """Norm and a small network, added to what was given, a few times."""

    def _stack(self, width: int, count: int, dropout: float) -> nn.ModuleList:
        return nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Sequential(
                    nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
                ),
            )
            for _ in range(count)
        )

    def _through(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x) + x
        return x


class VoxelEncoder(ResidualStack):
    """(B, V) -> (B, tokens, token_dim)."""

    def __init__(
        self, voxels: int, *, width: int, blocks: int, dropout: float, tokens: int, token_dim: int
    ) -> None:
        super().__init__()
        self.shape = tokens, token_dim
        self.lin0 = nn.Linear(voxels, width)
        self.blocks = self._stack(width, blocks, dropout)
        self.lin1 = nn.Linear(width, tokens * token_dim)
        self.proj = token_mlp(tokens * token_dim, width, tokens * token_dim)

    def forward(self, voxels: Tensor) -> Tensor:
        return self.proj(self.lin1(self._through(self.lin0(voxels)))).unflatten(1, self.shape)


class VoxelDecoder(ResidualStack):
    """(B, tokens, token_dim) -> (B, V)."""

    def __init__(
        self, voxels: int, *, width: int, blocks: int, dropout: float, tokens: int, token_dim: int
    ) -> None:
        super().__init__()
        self.lin0 = nn.Sequential(nn.Flatten(), nn.Linear(tokens * token_dim, width))
        self.blocks = self._stack(width, blocks, dropout)
        self.lin1 = nn.Linear(width, voxels)

    def forward(self, latent: Tensor) -> Tensor:
        return self.lin1(self._through(self.lin0(latent)))


class VoxelAutoEncoder(nn.Module):
    """Responses <-> a latent of the shape of image tokens.

    voxels : V.  width : of the hidden layers, 256 in the released configuration.
    """

    def __init__(
        self,
        voxels: int,
        *,
        width: int = 256,
        blocks: int = 2,
        dropout: float = 0.15,
        tokens: int = 257,
        token_dim: int = 768,
    ) -> None:
        super().__init__()
        how = {"width": width, "blocks": blocks, "dropout": dropout, "tokens": tokens, "token_dim": token_dim}
        self.voxel_encoder = VoxelEncoder(voxels, **how)
        self.voxel_decoder = VoxelDecoder(voxels, **how)

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        """Latent (B, tokens, token_dim) and reconstruction (B, V) of responses (B, V)."""
        latent = self.voxel_encoder(voxels)
        return latent, self.voxel_decoder(latent)

    def terms(self, voxels: Tensor, tokens: Tensor, *, temperature: float) -> dict[str, Tensor]:
        """Squared error and contrast with image tokens, of equal weight in the loss."""
        latent, reconstruction = self(voxels)
        contrast = soft_clip_loss(unit_rows(latent), unit_rows(tokens), temperature=temperature)
        return {"mse": F.mse_loss(reconstruction, voxels), "contrast": contrast}


def heads_of(token_dim: int) -> int:
    """Heads of the estimator, of 48 numbers each whatever that makes of the width."""
    return max(1, token_dim // 52)


def temperatures(epochs: int, first: float = 0.004, last: float = 0.0075) -> list[float]:
    """The contrast's temperature in each epoch: half a cosine from `first` to `last`, both ends included."""
    from math import cos, pi

    return [last + (first - last) * (1 + cos(pi * epoch / max(epochs - 1, 1))) / 2 for epoch in range(epochs)]
