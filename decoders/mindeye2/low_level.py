"""The low-level path: latents predicted from fMRI -> blurry image.

The targets are Stable Diffusion VAE latents of the 224-pixel stimulus (mode of the posterior, times
0.18215).  The published scores are of 0.75 times the picture plus 0.25 times the blurry image, although
the paper says 4:1; they are mixed where images are scored, not here.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F

LATENT_SCALE = 0.18215
"""Factor between the SD VAE's latents and the targets of the low-level head."""

SLICE = 1 << 14
"""Places of latents that a VAE works on at once: one of 96 a side, all of a micro-batch of small ones."""
SHRINKS = 8
"""Pixels to a place of the latent image along a side, as SD's VAE has it; for the size of slices alone."""


class Autoencoder(Protocol):
    """The part of diffusers' ``AutoencoderKL`` that is used."""

    def encode(self, images: torch.Tensor): ...

    def decode(self, latents: torch.Tensor): ...


def pixels_per_latent(vae: torch.nn.Module) -> int:
    """Pixels that one latent of a diffusers ``AutoencoderKL`` stands for along a side, 8 for SD's."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


def decode_sliced(vae: Autoencoder, latents: torch.Tensor) -> torch.Tensor:
    """Latents (B, C, h, w) -> images (B, 3, H, W) float32, few at once where they are large."""
    kind = _dtype(vae, latents)
    parts = latents.split(max(1, SLICE // latents[0, 0].numel()))
    return torch.cat([vae.decode(part.to(kind)).sample.float() for part in parts])


def encode_sliced(vae: Autoencoder, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, 3, H, W) in [-1, 1] -> mean and SD (B, C, h, w) float32 of the posterior."""
    kind = _dtype(vae, images)
    parts = images.split(max(1, SLICE * SHRINKS**2 // images[0, 0].numel()))
    posteriors = [vae.encode(part.to(kind)).latent_dist for part in parts]
    means, spreads = zip(*((posterior.mean.float(), posterior.std.float()) for posterior in posteriors))
    return torch.cat(means), torch.cat(spreads)


def _dtype(vae: Autoencoder, values: torch.Tensor) -> torch.dtype:
    return getattr(vae, "dtype", values.dtype)


@torch.no_grad()
def low_level_targets(vae: Autoencoder, images: torch.Tensor, *, scale: float = LATENT_SCALE) -> torch.Tensor:
    """Images (B, 3, H, W) in [0, 1] -> latents (B, C, H/8, W/8), the posterior's mode, scaled."""
    return vae.encode(2 * images - 1).latent_dist.mode() * scale


@torch.no_grad()
def decode_low_level(vae: Autoencoder, latents: torch.Tensor, *, scale: float = LATENT_SCALE) -> torch.Tensor:
    """Scaled latents -> blurry images (B, 3, H, W) in [0, 1]."""
    return (decode_sliced(vae, latents / scale) / 2 + 0.5).clamp(0, 1)


def resize_bilinear(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), bilinear without antialiasing as torchvision 0.16 did."""
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=False)
