"""The pixel distribution of a VDVAE: a mixture of discretised logistics (Salimans et al. 2017).

Red is drawn first; green's mean moves with red, blue's with both.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

LEAST_LOG_SCALE = -7.0
MARGIN = 1e-5
"""Uniform draws lie in [MARGIN, 1 - MARGIN]."""


class MixtureHead(nn.Module):
    """Features -> parameters of the mixture, its likelihood, and draws from it."""

    def __init__(self, width: int, mixtures: int) -> None:
        super().__init__()
        self.mixtures = mixtures
        self.out_conv = nn.Conv2d(width, mixtures * 10, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, width, h, w) -> (B, h, w, 10 * mixtures): logits, then mean, log scale and three
        coefficients of each colour."""
        return self.out_conv(features).permute(0, 2, 3, 1)

    def _parts(self, parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (B, h, w, K); means, log scales and coefficients (B, h, w, 3, K)."""
        logits, rest = parameters.split([self.mixtures, 9 * self.mixtures], dim=-1)
        means, log_scales, coefficients = rest.unflatten(-1, (3, -1)).chunk(3, dim=-1)
        return logits, means, log_scales.clamp(min=LEAST_LOG_SCALE), coefficients.tanh()

    def negative_log_likelihood(self, features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """(B,) nats per number of `target` (B, h, w, 3) in [-1, 1], of 256 levels."""
        logits, means, log_scales, coefficients = self._parts(self(features))
        x = target[..., None]
        red, green, blue = means.unbind(-2)
        by_red, by_red_too, by_green = coefficients.unbind(-2)
        green = green + by_red * x[..., 0, :]
        blue = blue + by_red_too * x[..., 0, :] + by_green * x[..., 1, :]
        centred, steep = x - torch.stack([red, green, blue], -2), (-log_scales).exp()
        upper, lower, middle = (steep * (centred + half) for half in (1 / 255, -1 / 255, 0.0))
        share = upper.sigmoid() - lower.sigmoid()
        density = middle - log_scales - 2 * F.softplus(middle) - math.log(127.5)
        inside = torch.where(share > 1e-5, share.clamp(min=1e-12).log(), density)
        level = torch.where(
            x < -0.999,
            upper - F.softplus(upper),
            torch.where(x > 0.999, -F.softplus(lower), inside),
        )
        total = (level.sum(-2) + logits.log_softmax(-1)).logsumexp(-1)
        return -total.sum((1, 2)) / target[0].numel()

    def sample(self, features: torch.Tensor, which: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
        """A draw (B, h, w, 3) in [-1, 1].

        which : (B, h, w, K) uniform draws that choose the component; pixel : (B, h, w, 3) uniform draws.
        """
        logits, means, log_scales, coefficients = self._parts(self(features))
        best = (logits - (-which.log()).log()).argmax(-1)[..., None, None]
        best = best.expand(*means.shape[:-1], 1)
        mean, log_scale, coefficient = (
            part.gather(-1, best)[..., 0] for part in (means, log_scales, coefficients)
        )
        x = mean + log_scale.exp() * (pixel.log() - (1 - pixel).log())
        red = x[..., 0].clamp(-1, 1)
        green = (x[..., 1] + coefficient[..., 0] * red).clamp(-1, 1)
        blue = (x[..., 2] + coefficient[..., 1] * red + coefficient[..., 2] * green).clamp(-1, 1)
        return torch.stack([red, green, blue], -1)


def to_uint8(draw: torch.Tensor) -> torch.Tensor:
    """[-1, 1] -> uint8, cut off rather than rounded, as the public code does."""
    return ((draw + 1) * 127.5).clamp(0, 255).to(torch.uint8)
