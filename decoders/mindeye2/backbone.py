"""Voxels -> shared space -> image tokens, retrieval tokens and a low-level latent image.

Layout and key names are those of the public MindEye2 code (``src/models.py`` of
MedARC-AI/MindEyeV2), which calls these parts ``ridge`` and ``backbone``.

With one token of input (``sequence`` = 1, every released model) the mixer blocks are inert: the
second half of a block normalises an axis of length one, which leaves the bias of its LayerNorm, and
its residual branch starts from the block's input.  The mixer then adds one scalar, and voxels ->
tokens is affine.  The modules stay, so that public weights load strictly; the computation of the
first halves is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from harness.api import ConfigError


@dataclass(frozen=True)
class BackboneSettings:
    """Sizes of the backbone; the defaults are those of the released models.

    hidden : width of the shared space that every ridge layer maps to.
    sequence : tokens of shared space per sample.
    blocks, dropout : residual mixer blocks.
    token_dim, tokens : size and number of the predicted image tokens.
    low_level : whether there is a head for the blurry image.
    side, map_channels : spatial size and channels of the low-level map that is upsampled four times.
    latent_channels : channels of the VAE's latents.
    decoder_channels, norm_groups : of the convolutional upsampler.
    auxiliary_dim : width of the tokens compared with the contrastive teacher's.
    """

    hidden: int = 4096
    sequence: int = 1
    blocks: int = 4
    dropout: float = 0.15
    token_dim: int = 1664
    tokens: int = 256
    low_level: bool = True
    side: int = 7
    map_channels: int = 64
    latent_channels: int = 4
    decoder_channels: tuple[int, ...] = (32, 64, 128)
    norm_groups: int = 32
    auxiliary_dim: int = 512

    def __post_init__(self) -> None:
        for name in ("hidden", "sequence", "token_dim", "tokens", "side"):
            if getattr(self, name) < 1:
                raise ConfigError(f"mindeye2 {name} is {getattr(self, name)}; it must be at least 1")
        uneven = [c for c in self.decoder_channels if c % self.norm_groups]
        if self.low_level and uneven:
            raise ConfigError(
                f"mindeye2 decoder_channels has {uneven[0]}, not a multiple of norm_groups "
                f"{self.norm_groups}; choose norm_groups that divides every entry"
            )

    @property
    def latent_side(self) -> int:
        """Height and width of the predicted latents."""
        return self.side * 2 ** (len(self.decoder_channels) - 1)


class BackboneOutput(NamedTuple):
    """What the backbone predicts for B samples."""

    tokens: torch.Tensor  # (B, tokens, token_dim), unnormalised, the condition of the prior
    retrieval: torch.Tensor  # (B, tokens, token_dim), compared with image tokens
    latents: torch.Tensor | None  # (B, latent_channels, latent_side, latent_side), scaled VAE latents
    auxiliary: torch.Tensor | None  # (B, side * side, auxiliary_dim)


class RidgeLayers(nn.Module):
    """One linear layer from voxels to the shared space per subject, regularised by weight decay."""

    def __init__(self, voxels: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList([nn.Linear(count, hidden) for count in voxels])

    def forward(self, responses: torch.Tensor, *, subject: int = 0) -> torch.Tensor:
        """Responses (B, V) of one subject -> (B, 1, hidden)."""
        return self.linears[subject](responses)[:, None]


def _mixer(size: int, dropout: float) -> nn.Sequential:
    inner = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Dropout(dropout), nn.Linear(size, size))
    return nn.Sequential(nn.LayerNorm(size), inner)


class BrainNetwork(nn.Module):
    """The shared part: mixer, token layer, retrieval head, low-level head."""

    def __init__(self, settings: BackboneSettings, *, skip_inert: bool = True) -> None:
        super().__init__()
        self.settings, self.skip_inert = settings, skip_inert
        s, width = settings, settings.token_dim
        self.mixer_blocks1 = nn.ModuleList([_mixer(s.hidden, s.dropout) for _ in range(s.blocks)])
        self.mixer_blocks2 = nn.ModuleList([_mixer(s.sequence, s.dropout) for _ in range(s.blocks)])
        self.backbone_linear = nn.Linear(s.hidden * s.sequence, s.tokens * width)
        self.clip_proj = nn.Sequential(
            *(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width)),
            *(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width)),
            *(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width)),
        )
        if not s.low_level:
            return
        from diffusers.models.autoencoders.vae import Decoder as VaeDecoder

        self.blin1 = nn.Linear(s.hidden * s.sequence, s.map_channels * s.side**2)
        self.bdropout = nn.Dropout(0.3)
        self.bnorm = nn.GroupNorm(1, s.map_channels)
        self.bupsampler = VaeDecoder(
            in_channels=s.map_channels,
            out_channels=s.latent_channels,
            up_block_types=("UpDecoderBlock2D",) * len(s.decoder_channels),
            block_out_channels=s.decoder_channels,
            layers_per_block=1,
            norm_num_groups=s.norm_groups,
        )
        wide = s.auxiliary_dim
        self.b_maps_projector = nn.Sequential(
            *(nn.Conv2d(s.map_channels, wide, 1, bias=False), nn.GroupNorm(1, wide), nn.ReLU()),
            *(nn.Conv2d(wide, wide, 1, bias=False), nn.GroupNorm(1, wide), nn.ReLU()),
            nn.Conv2d(wide, wide, 1),
        )

    def mix(self, shared: torch.Tensor) -> torch.Tensor:
        """(B, sequence, hidden) -> the same shape, across features and across tokens in turn.

        Both halves keep a residual stream of their own: a half adds to what the same half of the
        previous block gave, not to its own input.
        """
        inert = self.skip_inert and self.settings.sequence == 1
        features, tokens = shared, shared.transpose(1, 2)
        mixed = shared
        for across_features, across_tokens in zip(self.mixer_blocks1, self.mixer_blocks2):
            if not inert:
                features = across_features(mixed) + features
            tokens = across_tokens(features.transpose(1, 2)) + tokens
            mixed = tokens.transpose(1, 2)
        return mixed

    def forward(self, shared: torch.Tensor) -> BackboneOutput:
        """Shared space (B, sequence, hidden) -> all heads."""
        s = self.settings
        flat = self.mix(shared).flatten(1)
        tokens = self.backbone_linear(flat).reshape(len(flat), s.tokens, s.token_dim)
        retrieval = self.clip_proj(tokens)
        if not s.low_level:
            return BackboneOutput(tokens, retrieval, None, None)
        maps = self.bdropout(self.blin1(flat)).reshape(len(flat), s.map_channels, s.side, s.side)
        maps = self.bnorm(maps)
        auxiliary = self.b_maps_projector(maps).flatten(2).transpose(1, 2)
        return BackboneOutput(tokens, retrieval, self.bupsampler(maps), auxiliary)
