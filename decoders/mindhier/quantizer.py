"""Multi-scale residual quantiser of VAR (Tian et al. 2024, arXiv:2404.02905), which Switti keeps.

Scale by scale, what is left of the latent image is shrunk to the scale's side, replaced by the nearest
codes, enlarged, refined by a convolution, and taken away from what is left.  One codebook serves all
scales.  Everything here stays in float32: a code changes with the last digits of a distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .scales import check_sides, refiner_of, rows_of


class Refiners(nn.Module):
    """Convolutions phi, shared among neighbouring scales."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.qresi_ls = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(count))


class Quantized(NamedTuple):
    """What the quantiser makes of latent images (B, C, h, w)."""

    codes: torch.Tensor  # (B, L) int64, all scales one after another
    running: list[torch.Tensor]  # K x (B, C, h, w), the sum of the scales so far
    loss: torch.Tensor  # commitment and codebook terms, mean over scales


class MultiScaleQuantizer(nn.Module):
    """Latent images <-> codes.

    Parameters
    ----------
    codes, channels : size of the codebook and of a code.
    sides : per scale, the last that of the latent image.
    share : of the refined map in ``(1 - share) h + share conv(h)``.
    refiners : number of convolutions.
    beta : weight of the commitment term.
    """

    def __init__(
        self,
        codes: int,
        channels: int,
        sides: Sequence[int],
        *,
        share: float = 0.5,
        refiners: int = 4,
        beta: float = 0.25,
    ) -> None:
        super().__init__()
        self.sides, self.share, self.beta = check_sides(sides), share, beta
        self.quant_resi = Refiners(channels, refiners)
        self.register_buffer("ema_vocab_hit_SV", torch.zeros(len(self.sides), codes))
        self.embedding = nn.Embedding(codes, channels)

    def exact(self) -> torch.autocast:
        """Within it nothing is computed in half precision, whatever stands around."""
        return torch.autocast(self.embedding.weight.device.type, enabled=False)

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, C) -> (n,) number of the nearest code by squared distance."""
        table = self.embedding.weight.float()
        distance = vectors.square().sum(1, keepdim=True) + table.square().sum(1)
        return torch.addmm(distance, vectors, table.T, beta=1, alpha=-2).argmin(1)

    def refined(self, vectors: torch.Tensor, scale: int) -> torch.Tensor:
        """Vectors of codes (B, side^2, C) of a scale -> what it adds, (B, C, h, w)."""
        side, whole = self.sides[scale], self.sides[-1]
        h = vectors.float().transpose(1, 2).reshape(len(vectors), -1, side, side)
        if scale < len(self.sides) - 1:
            h = F.interpolate(h, (whole, whole), mode="bicubic")
        chosen = refiner_of(scale, scales=len(self.sides), refiners=len(self.quant_resi.qresi_ls))
        return (1 - self.share) * h + self.share * self.quant_resi.qresi_ls[chosen](h)

    def shrunk(self, latents: torch.Tensor, scale: int) -> torch.Tensor:
        """(B, C, h, w) -> (B, side^2, C) of a scale, by area; the last scale is the image itself."""
        side = self.sides[scale]
        if latents.shape[-1] != side:
            latents = F.interpolate(latents, (side, side), mode="area")
        return latents.flatten(2).transpose(1, 2)

    def forward(self, latents: torch.Tensor) -> Quantized:
        """Latent images (B, C, h, w) -> codes, running sums and loss; gradients pass straight through."""
        latents = latents.float()
        fixed = latents.detach()
        rest, total = fixed.clone(), torch.zeros_like(fixed)
        codes, running, loss = [], [], latents.new_zeros(())
        with self.exact():
            for scale in range(len(self.sides)):
                z = self.shrunk(rest, scale)
                chosen = self.nearest(z.flatten(0, 1)).view(z.shape[:2])
                added = self.refined(self.embedding(chosen), scale)
                total = total + added
                rest = rest - added.detach()
                loss = loss + self.beta * F.mse_loss(total.detach(), latents) + F.mse_loss(total, fixed)
                codes.append(chosen)
                running.append(total)
        return Quantized(torch.cat(codes, dim=1), running, loss / len(self.sides))

    def sums(self, codes: torch.Tensor) -> list[torch.Tensor]:
        """Codes (B, L) -> K running sums (B, C, h, w)."""
        total, running = 0.0, []
        with self.exact():
            for scale, rows in enumerate(rows_of(self.sides)):
                total = total + self.refined(self.embedding(codes[:, rows]), scale)
                running.append(total)
        return running

    def next_inputs(self, codes: torch.Tensor) -> torch.Tensor:
        """Codes (B, L) -> (B, L - 1, C): what a transformer sees of the scales before, for scales 2 .. K."""
        running = self.sums(codes)[:-1]
        parts = [self.shrunk(total, scale + 1) for scale, total in enumerate(running)]
        return torch.cat(parts, dim=1)
