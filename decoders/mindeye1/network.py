"""MindEye1's trained part: voxels -> image tokens -> cleaner image tokens.

Layout and key names are those of the public code (MedARC-AI/fMRI-reconstruction-NSD ``src/models.py``, MIT),
so that ``last.pth`` of ``prior_257_final_*`` loads.  Unlike MindEye2's, its residual perceptron really is
nonlinear, and its prior works on tokens multiplied by the root of their width, 27.7 for 768: the loss is in
that scale, and what is sampled is divided by it again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from harness.nn.diffusion_prior import BrainDiffusionPrior, Noise, PriorNetwork

from .settings import NetworkSettings


class VoxelTokens(NamedTuple):
    """What the voxel network predicts for B samples."""

    tokens: torch.Tensor  # (B, tokens, token_dim), the condition of the prior
    projected: torch.Tensor  # (B, tokens, token_dim), compared with image tokens


class VoxelNetwork(nn.Module):
    """Residual perceptron and projector."""

    def __init__(self, voxels: int, settings: NetworkSettings) -> None:
        super().__init__()
        s = self.settings = settings
        h, width, wide = s.hidden, s.token_dim, s.projected
        self.lin0 = nn.Sequential(nn.Linear(voxels, h), nn.LayerNorm(h), nn.GELU(), nn.Dropout(0.5))
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(h, h), nn.LayerNorm(h), nn.GELU(), nn.Dropout(0.15))
            for _ in range(s.blocks)
        )
        self.lin1 = nn.Linear(h, s.tokens * width)
        self.projector = nn.Sequential(
            *(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, wide)),
            *(nn.LayerNorm(wide), nn.GELU(), nn.Linear(wide, wide)),
            *(nn.LayerNorm(wide), nn.GELU(), nn.Linear(wide, width)),
        )

    def forward(self, voxels: torch.Tensor) -> VoxelTokens:
        """(B, V) -> tokens before and after the projector."""
        x = self.lin0(voxels)
        for block in self.mlp:
            x = block(x) + x
        tokens = self.lin1(x).unflatten(1, (self.settings.tokens, self.settings.token_dim))
        return VoxelTokens(tokens, self.projector(tokens))


class MindEye1Network(BrainDiffusionPrior):
    """Children ``net``, ``noise_scheduler`` and ``voxel2clip``, the prefixes of the public files."""

    def __init__(self, voxels: int, settings: NetworkSettings) -> None:
        super().__init__(PriorNetwork(settings.prior))
        self.settings = settings
        self.voxel2clip = VoxelNetwork(voxels, settings)

    @property
    def embed_scale(self) -> float:
        """What the prior's tokens are multiplied by."""
        return self.settings.token_dim**0.5

    def prior_loss(
        self,
        clean: torch.Tensor,
        condition: torch.Tensor,
        *,
        time: torch.Tensor,
        noise: torch.Tensor,
        drop_condition: torch.Tensor | None = None,
        drop_image: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared error and prediction, both in the prior's scale; the condition is not scaled."""
        clean = clean * self.embed_scale
        noisy = self.noise_scheduler.add_noise(clean, time, noise)
        predicted = self.net(
            noisy, time, condition=condition, drop_condition=drop_condition, drop_image=drop_image
        )
        return F.mse_loss(predicted, clean), predicted

    def loss(
        self, clean: torch.Tensor, condition: torch.Tensor, *, drop: float = 0.2
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """:meth:`prior_loss` at random times; condition and tokens are dropped apart, each by `drop`."""
        batch, device = len(clean), clean.device
        time = torch.randint(0, self.settings.timesteps, (batch,), device=device)
        noise = torch.randn_like(clean)
        drop_condition, drop_image = torch.rand(2, batch, device=device) < drop
        return self.prior_loss(
            clean, condition, time=time, noise=noise, drop_condition=drop_condition, drop_image=drop_image
        )

    @torch.no_grad()
    def sample(
        self, condition: torch.Tensor, *, noise: Noise, steps: int = 100, guidance: float = 1.0
    ) -> torch.Tensor:
        """Clean tokens (B, tokens, token_dim) in the scale of image tokens; 100 steps are ancestral."""
        scaled = super().sample(condition, noise=noise, steps=steps, guidance=guidance)
        return scaled / self.embed_scale
