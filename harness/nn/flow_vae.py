"""A variational autoencoder of responses, and a reversible flow from image tokens to its latent.

Names of parameters are those of the authors' files (MichaelMaiii/NeuroFlow 9aeae32, Apache-2.0).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .contrast import soft_clip_loss, unit_rows
from .conv1d import DownPath, UpPath, gaussian_draw, gaussian_kl, group_norm, token_mlp

TEMPERATURE = 0.125
MULTIPLES, HALVINGS = (1, 2, 4), 2
"""Channels of the levels, in multiples of the first; two of the three halve the length."""


class SubjectMLP(nn.Module):
    """A subject's voxels <-> a length that all subjects share, the same map for each channel."""

    def __init__(self, given: int, inner: int, out: int) -> None:
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(given, inner), nn.LayerNorm(inner), nn.Linear(inner, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.norm(self.fc1(x))))


class VoxelEncoder(DownPath):
    """(B, 1, V) -> (B, tokens, length / 4)."""

    def __init__(self, voxels: int, *, channels: int, inner: int, length: int, blocks: int) -> None:
        super().__init__(channels, MULTIPLES, blocks=blocks, halvings=HALVINGS)
        self.conv_in = nn.Conv1d(1, channels, 1)
        self.subj_proj = SubjectMLP(voxels, inner, length)

    def forward(self, voxels: Tensor) -> Tensor:
        return self.descend(self.subj_proj(self.conv_in(voxels)))


class VoxelDecoder(UpPath):
    """(B, tokens, length / 4) -> (B, 1, V)."""

    def __init__(self, voxels: int, *, channels: int, inner: int, length: int, blocks: int) -> None:
        super().__init__(channels, MULTIPLES, blocks=blocks, doublings=HALVINGS)
        self.subj_proj = SubjectMLP(length, inner, voxels)
        self.norm_out = group_norm(self.out_width)
        self.conv_out = nn.Conv1d(self.out_width, 1, 1)

    def forward(self, latent: Tensor) -> Tensor:
        return self.conv_out(F.silu(self.norm_out(self.subj_proj(self.ascend(latent)))))


class NeuroVAE(nn.Module):
    """Responses <-> latent tokens (4 x channels, token_dim).

    The way back goes through a single token, the compact code.  channels : of the first level, 64 as
    published, which makes 256 tokens.
    """

    def __init__(
        self, voxels: int, *, channels: int = 64, inner: int = 1024, token_dim: int = 1664, blocks: int = 2
    ) -> None:
        super().__init__()
        how = {"channels": channels, "inner": inner, "length": token_dim * 2**HALVINGS, "blocks": blocks}
        self.encoder, self.decoder = VoxelEncoder(voxels, **how), VoxelDecoder(voxels, **how)
        tokens = channels * MULTIPLES[-1]
        self.pre_proj1 = nn.Conv1d(tokens, 2 * tokens, 1)
        self.pre_proj2 = nn.Conv1d(tokens, 1, 1)
        self.post_proj = nn.Conv1d(1, tokens, 1)
        self.clip_proj = token_mlp(token_dim, token_dim, token_dim)

    def encode(self, voxels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, log variance and retrieval tokens (B, tokens, token_dim) for responses (B, 1, V)."""
        hidden = self.encoder(voxels)
        return *self.pre_proj1(hidden).chunk(2, dim=1), self.clip_proj(hidden)

    def compact(self, latent: Tensor) -> Tensor:
        """(B, tokens, token_dim) -> (B, 1, token_dim)."""
        return self.pre_proj2(latent)

    def decode(self, compact: Tensor) -> Tensor:
        """(B, 1, token_dim) -> responses (B, 1, V)."""
        return self.decoder(self.post_proj(compact))

    def generate(self, latent: Tensor) -> Tensor:
        """(B, tokens, token_dim) -> responses (B, 1, V)."""
        return self.decode(self.compact(latent))

    def terms(self, voxels: Tensor, tokens: Tensor, *, sample: bool) -> dict[str, Tensor]:
        """Loss terms before their weights; the reconstruction is encoded once more at its mean."""
        mean, log_variance, retrieval = self.encode(voxels)
        latent = gaussian_draw(mean, log_variance) if sample else mean
        reconstruction = self.generate(latent)
        again, _, retrieval_again = self.encode(reconstruction)
        target = unit_rows(tokens)

        def contrast(*embeddings: Tensor) -> Tensor:
            return sum(soft_clip_loss(unit_rows(e), target, temperature=TEMPERATURE) for e in embeddings)

        return {
            "reconstruction": F.mse_loss(reconstruction, voxels, reduction="sum") / len(voxels),
            "kl": gaussian_kl(mean, log_variance),
            "contrast": contrast(latent, retrieval),
            "cycle": contrast(again, retrieval_again),
        }


def point(image: Tensor, fmri: Tensor, time: Tensor, *, path: str = "cosine") -> tuple[Tensor, Tensor]:
    """Place on the path from `image` (time 0) to `fmri` (time 1) at `time` (B,), and its velocity."""
    t = time.view(-1, *(1,) * (image.ndim - 1))
    if path == "linear":
        return (1 - t) * image + t * fmri, fmri - image
    angle = t * math.pi / 2
    velocity = (fmri * angle.cos() - image * angle.sin()) * (math.pi / 2)
    return angle.cos() * image + angle.sin() * fmri, velocity


Velocity = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def travel(velocity: Velocity, start: Tensor, *, steps: int, backward: bool = False, heun: bool = False):
    """Follow the flow in equal steps: from image tokens to fMRI tokens, or `backward`.

    The state is kept in float64 and the network called in `start`'s type, as the authors do; `heun` corrects
    every step but the last.
    """
    times = torch.linspace(1, 0, steps + 1) if backward else torch.linspace(0, 1, steps + 1)
    state = start.double()

    def slope(x: Tensor, time: float) -> Tensor:
        return velocity(x.to(start.dtype), torch.full((len(x),), time, device=x.device)).double()

    for number, (now, then) in enumerate(zip(times[:-1].tolist(), times[1:].tolist(), strict=True)):
        first = slope(state, now)
        moved = state + (then - now) * first
        if heun and number < steps - 1:
            moved = state + (then - now) * (first + slope(moved, then)) / 2
        state = moved
    return state.to(start.dtype)
