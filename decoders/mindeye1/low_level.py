"""MindEye1's low-level path: voxels -> latents of Stable Diffusion's VAE, 64 x 64 for 512 pixels.

Layout and key names of ``Voxel2StableDiffusionModel`` of the public code, "4x".  Its convolutional decoder is
diffusers' of version 0.13, whose attention had other names (:func:`modern_vae_attention`); file and inference
leave out the head that is compared with a contrastive teacher.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from harness.decoders.mindeye2.losses import soft_contrastive_loss
from harness.decoders.mindeye2.unclip_keys import modern_vae_attention

from .settings import LowLevelSettings

CONTRAST_TEMPERATURE = 0.075
CONTRAST_WEIGHT = 0.1


class LowLevelNetwork(nn.Module):
    """Voxels -> scaled latents and, with the head, tokens of the map."""

    def __init__(self, voxels: int, settings: LowLevelSettings) -> None:
        from diffusers.models.autoencoders.vae import Decoder as VaeDecoder

        super().__init__()
        s = self.settings = settings
        h = s.hidden
        self.lin0 = nn.Sequential(
            nn.Linear(voxels, h, bias=False), nn.LayerNorm(h), nn.SiLU(inplace=True), nn.Dropout(0.5)
        )
        self.mlp = nn.ModuleList(
            nn.Sequential(
                nn.Linear(h, h, bias=False), nn.LayerNorm(h), nn.SiLU(inplace=True), nn.Dropout(0.25)
            )
            for _ in range(s.blocks)
        )
        self.lin1 = nn.Linear(h, s.channels * s.side**2, bias=False)
        self.norm = nn.GroupNorm(1, s.channels)
        self.upsampler = VaeDecoder(
            in_channels=s.channels,
            out_channels=s.latent_channels,
            up_block_types=("UpDecoderBlock2D",) * len(s.decoder_channels),
            block_out_channels=s.decoder_channels,
            layers_per_block=s.layers,
            norm_num_groups=s.norm_groups,
        )
        if wide := s.contrast_dim:
            self.maps_projector = nn.Sequential(
                *(nn.Conv2d(s.channels, wide, 1, bias=False), nn.GroupNorm(1, wide), nn.ReLU()),
                *(nn.Conv2d(wide, wide, 1, bias=False), nn.GroupNorm(1, wide), nn.ReLU()),
                nn.Conv2d(wide, wide, 1),
            )

    def forward(self, voxels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(B, V) -> latents (B, C, h, w), and tokens (B, side * side, contrast_dim) where there is a head."""
        s = self.settings
        x = self.lin0(voxels)
        for block in self.mlp:
            x = block(x) + x
        maps = self.norm(self.lin1(x).reshape(len(x), s.channels, s.side, s.side))
        tokens = self.maps_projector(maps).flatten(2).transpose(1, 2) if s.contrast_dim else None
        return self.upsampler(maps), tokens


def contrast_loss(student: torch.Tensor, teacher: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """The contrastive term, all (rows, D): the student imitates the teacher's likeness to another view."""
    parts = (part[None] for part in (student, teacher, keys))
    return soft_contrastive_loss(*parts, temperature=CONTRAST_TEMPERATURE)


def low_level_state(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names of the public file -> names here."""
    return modern_vae_attention({name.removeprefix("module."): value for name, value in weights.items()})
