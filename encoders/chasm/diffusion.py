"""Diffusion of the voxel residual: the ablation ``dual_diff`` of the paper's Table 2b.

DDPM (Ho et al. 2020) with a linear schedule, predicting noise; the condition is Stage 2's pooled
tokens.  The paper found it to be far worse than the latent, since the noise that it adds and the
noise of the measurement cannot be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .params import ChasmParams


class ResidualDiffusion(nn.Module):
    """Noise in y - y_dual, given pooled tokens (B, D)."""

    def __init__(self, params: ChasmParams, voxels: Sequence[int]) -> None:
        super().__init__()
        hidden, width = params.readout_width, params.refine_width
        self.steps, self.frequencies = params.diffusion_steps, width // 2
        self.inward = nn.ModuleList(nn.Linear(count, hidden) for count in voxels)
        self.condition = nn.Linear(width + 2 * self.frequencies, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.outward = nn.ModuleList(nn.Linear(hidden, count) for count in voxels)
        # Ho et al. state 1e-4 to 0.02 for 1,000 steps; fewer steps need as much noise in all.
        betas = (torch.linspace(1e-4, 0.02, self.steps) * 1000 / self.steps).clamp(max=0.999)
        self.register_buffer("betas", betas, persistent=False)
        self.register_buffer("kept", (1 - betas).cumprod(dim=0), persistent=False)

    def forward(self, noisy: Tensor, step: Tensor, pooled: Tensor, subject: int) -> Tensor:
        """Noise (B, V) in `noisy` (B, V) at `step` (B,)."""
        decay = math.log(10_000) / max(self.frequencies - 1, 1)
        rates = torch.exp(-decay * torch.arange(self.frequencies, device=noisy.device))
        angles = step[:, None] * rates
        given = self.condition(torch.cat([pooled, angles.sin(), angles.cos()], dim=-1))
        hidden = F.gelu(self.inward[subject](noisy) + given)
        return self.outward[subject](F.gelu(self.middle(hidden)))

    def loss(self, residual: Tensor, pooled: Tensor, subject: int) -> Tensor:
        """Mean squared error of the noise at random steps."""
        step = torch.randint(self.steps, (len(residual),), device=residual.device)
        noise = torch.randn_like(residual)
        kept = self.kept[step][:, None]
        noisy = kept.sqrt() * residual + (1 - kept).sqrt() * noise
        return F.mse_loss(self(noisy, step, pooled, subject), noise)

    def sample(self, pooled: Tensor, noise: Tensor, subject: int) -> Tensor:
        """Residuals (B, V) from draws `noise` (B, steps, V), last step first."""
        x = noise[:, 0]
        for number, step in enumerate(reversed(range(self.steps)), 1):
            beta, kept = self.betas[step], self.kept[step]
            noise_estimate = self(x, torch.full((len(x),), step, device=x.device), pooled, subject)
            x = (x - beta / (1 - kept).sqrt() * noise_estimate) / (1 - beta).sqrt()
            if step:
                x = x + beta.sqrt() * noise[:, number]
        return x
