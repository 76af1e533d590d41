"""The low-level path: latents predicted from fMRI -> blurry image, and its blend with the picture.

The targets are Stable Diffusion VAE latents of the 224-pixel stimulus (mode of the posterior, times
0.18215).  The published scores are of 0.75 times the picture plus 0.25 times the blurry image,
although the paper says 4:1.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F

from harness.api import DataError

LATENT_SCALE = 0.18215
"""Factor between the SD VAE's latents and the targets of the low-level head."""


class Autoencoder(Protocol):
    """The part of diffusers' ``AutoencoderKL`` that is used."""

    def encode(self, images: torch.Tensor): ...

    def decode(self, latents: torch.Tensor): ...


@torch.no_grad()
def low_level_targets(vae: Autoencoder, images: torch.Tensor, *, scale: float = LATENT_SCALE) -> torch.Tensor:
    """Images (B, 3, H, W) in [0, 1] -> latents (B, C, H/8, W/8), the posterior's mode, scaled."""
    return vae.encode(2 * images - 1).latent_dist.mode() * scale


@torch.no_grad()
def decode_low_level(vae: Autoencoder, latents: torch.Tensor, *, scale: float = LATENT_SCALE) -> torch.Tensor:
    """Scaled latents -> blurry images (B, 3, H, W) in [0, 1]."""
    return (vae.decode(latents / scale).sample / 2 + 0.5).clamp(0, 1)


def resize_bilinear(images: torch.Tensor, size: int) -> torch.Tensor:
    """(B, 3, H, W) -> (B, 3, size, size), bilinear without antialiasing as torchvision 0.16 did."""
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=False)


def blend(
    picture: torch.Tensor, low_level: torch.Tensor, *, size: int | None = None, share: float = 0.25
) -> torch.Tensor:
    """(1 - `share`) picture + `share` blurry image, both (B, 3, ., .) in [0, 1].

    Both are first resized to `size` (256 in the public evaluation), by default the picture's.
    """
    if not 0 <= share <= 1:
        raise DataError(f"the share of the blurry image is {share}; expected 0 to 1, published 0.25")
    if picture.shape[:2] != low_level.shape[:2]:
        raise DataError(
            f"{tuple(picture.shape[:2])} pictures and {tuple(low_level.shape[:2])} blurry images "
            "(images, channels) cannot be blended; expected one of each per image"
        )
    size = picture.shape[-1] if size is None else size
    sharp, blurry = (
        images if images.shape[-2:] == (size, size) else resize_bilinear(images, size)
        for images in (picture, low_level)
    )
    return (1 - share) * sharp + share * blurry
