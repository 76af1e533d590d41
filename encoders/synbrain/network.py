"""SynBrain's two networks: a variational autoencoder of responses, and a map from image tokens to its latent.

Names of parameters are those of the authors' files (MichaelMaiii/SynBrain 9b4f4bb, MIT).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from harness.nn.contrast import soft_clip_loss, unit_rows
from harness.nn.conv1d import DownPath, UpPath, gaussian_draw, gaussian_kl, group_norm, token_mlp

TEMPERATURE = 0.125
"""Of the contrast between latent and image tokens."""


class VoxelEncoder(DownPath):
    """(B, 1, V) of any V -> (B, tokens, length / 2^halvings)."""

    def __init__(
        self, channels: int, multiples: Sequence[int], *, blocks: int, halvings: int, length: int, tokens: int
    ) -> None:
        super().__init__(channels, multiples, blocks=blocks, halvings=halvings)
        self.conv_in = nn.Conv1d(1, channels, 7, padding=3)
        self.pool = nn.AdaptiveMaxPool1d(length)
        self.conv_out = nn.Conv1d(self.width, tokens, 7, padding=3)

    def forward(self, voxels: Tensor) -> Tensor:
        return self.conv_out(self.descend(self.pool(self.conv_in(voxels))))


class VoxelDecoder(UpPath):
    """(B, tokens, length) -> (B, 1, V) of any V."""

    def __init__(
        self, channels: int, multiples: Sequence[int], *, blocks: int, halvings: int, tokens: int
    ) -> None:
        super().__init__(channels, multiples, blocks=blocks, doublings=halvings)
        self.conv_in = nn.Conv1d(tokens, self.width, 7, padding=3)
        self.norm_out = group_norm(self.out_width)
        self.conv_out = nn.Conv1d(self.out_width, 1, 7, padding=3)

    def forward(self, latent: Tensor, voxels: int) -> Tensor:
        x = self.ascend(self.conv_in(latent))
        x = F.interpolate(x, size=voxels, mode="linear", align_corners=True)
        return self.conv_out(F.silu(self.norm_out(x)))


class BrainVAE(nn.Module):
    """Responses <-> latent tokens of the shape of image tokens; it holds no subject's number of voxels.

    length : positions after pooling; each level's first convolutions see these.
    """

    def __init__(
        self,
        *,
        channels: int = 128,
        multiples: Sequence[int] = (2, 4, 4),
        blocks: int = 2,
        halvings: int = 1,
        length: int = 8192,
        inner: int = 2048,
        tokens: int = 256,
        token_dim: int = 1664,
    ) -> None:
        super().__init__()
        hidden = length // 2**halvings
        how = {"blocks": blocks, "halvings": halvings, "tokens": tokens}
        self.encoder = VoxelEncoder(channels, multiples, length=length, **how)
        self.decoder = VoxelDecoder(channels, multiples, **how)
        self.pre_projector_mean = token_mlp(hidden, inner, token_dim)
        self.pre_projector_logvar = token_mlp(hidden, inner, token_dim)
        self.post_projector = token_mlp(token_dim, inner, hidden)

    def encode(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, tokens, token_dim) for responses (B, 1, V)."""
        hidden = self.encoder(voxels)
        return self.pre_projector_mean(hidden), self.pre_projector_logvar(hidden)

    def decode(self, latent: Tensor, voxels: int) -> Tensor:
        """(B, tokens, token_dim) -> (B, 1, voxels)."""
        return self.decoder(self.post_projector(latent), voxels)

    def terms(self, voxels: Tensor, tokens: Tensor, *, sample: bool) -> tuple[dict[str, Tensor], Tensor]:
        """Loss terms of responses (B, 1, V) before their weights, and the reconstruction."""
        mean, log_variance = self.encode(voxels)
        latent = gaussian_draw(mean, log_variance) if sample else mean
        reconstruction = self.decode(latent, voxels.shape[-1])
        terms = {
            "reconstruction": F.mse_loss(reconstruction, voxels, reduction="sum") / len(voxels),
            "kl": gaussian_kl(mean, log_variance),
            "contrast": soft_clip_loss(unit_rows(latent), unit_rows(tokens), temperature=TEMPERATURE),
        }
        return terms, reconstruction
