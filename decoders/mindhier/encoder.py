"""MindHier's hierarchical fMRI encoder: voxels -> e_1 .. e_M, image and text embeddings.

Layout and key names are those of the released code (``MindHier/models/fmri_c2f_encoder.py``): a network of
three linear layers makes voxel tokens, a stack of post-norm transformer decoder layers reads them with
learned queries, and level m is the output of layer m.  The text branch is a stack of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from harness.api import ConfigError


@dataclass(frozen=True)
class EncoderSettings:
    """Sizes; the defaults are those of the released code for CLIP ViT-L/14.

    width, heads : of all tokens and of attention.
    voxel_tokens, image_tokens, text_tokens : numbers of tokens.
    levels : M, layers of each stack and levels of the hierarchy.
    hidden : widths between voxels and voxel tokens.
    text : whether there is a text branch.
    """

    width: int = 768
    heads: int = 8
    voxel_tokens: int = 100
    image_tokens: int = 257
    text_tokens: int = 77
    levels: int = 4
    hidden: tuple[int, int] = (4096, 2048)
    dropout: float = 0.1
    text: bool = True

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"mindhier width {self.width} is no multiple of its {self.heads} heads")
        if self.levels < 1:
            raise ConfigError(f"mindhier has {self.levels} levels; it must be at least 1")


class EncoderOutput(NamedTuple):
    """What B patterns of responses give."""

    levels: list[torch.Tensor]  # M x (B, image_tokens, width), e_1 first
    image: torch.Tensor  # (B, image_tokens, width) of the last level, projected
    text: torch.Tensor | None  # (B, text_tokens, width)

    def start(self) -> torch.Tensor:
        """(B, width) what the first scale starts from: the mean over tokens of the image embedding."""
        return self.image.mean(dim=1)


class VoxelTokens(nn.Module):
    """Responses (B, V) -> (B, voxel_tokens, width)."""

    def __init__(self, voxels: int, settings: EncoderSettings) -> None:
        super().__init__()
        s, (first, second) = settings, settings.hidden
        self.shape = (s.voxel_tokens, s.width)
        self.pos_embed = nn.Parameter(torch.randn(1, *self.shape))
        self.proj = nn.Sequential(
            nn.Linear(voxels, first),
            nn.GELU(),
            nn.Linear(first, second),
            nn.GELU(),
            nn.Linear(second, s.voxel_tokens * s.width),
        )

    def forward(self, responses: torch.Tensor) -> torch.Tensor:
        return self.proj(responses).view(-1, *self.shape) + self.pos_embed


class QueryDecoder(nn.Module):
    """Learned queries read voxel tokens, layer by layer."""

    def __init__(self, tokens: int, settings: EncoderSettings) -> None:
        super().__init__()
        s = settings
        self.query = nn.Parameter(torch.randn(tokens, s.width))
        layer = nn.TransformerDecoderLayer(
            s.width, s.heads, 4 * s.width, s.dropout, activation="gelu", batch_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, s.levels)

    def forward(self, memory: torch.Tensor) -> list[torch.Tensor]:
        """(B, n, width) -> the output of every layer, (B, tokens, width) each."""
        tokens, outputs = self.query.expand(len(memory), -1, -1), []
        for layer in self.decoder.layers:
            tokens = layer(tokens, memory)
            outputs.append(tokens)
        return outputs


class HierarchicalEncoder(nn.Module):
    """Responses of one subject -> hierarchy and embeddings."""

    def __init__(self, voxels: int, settings: EncoderSettings) -> None:
        super().__init__()
        self.settings = settings
        self.fMRI_encoder = VoxelTokens(voxels, settings)
        self.image_decoder = QueryDecoder(settings.image_tokens, settings)
        self.image_proj = nn.Linear(settings.width, settings.width)
        if settings.text:
            self.text_decoder = QueryDecoder(settings.text_tokens, settings)
            self.text_proj = nn.Linear(settings.width, settings.width)

    def forward(self, responses: torch.Tensor, *, text: bool = True) -> EncoderOutput:
        """Responses (B, V); `text` False leaves out the text branch, which only stage 1 needs."""
        memory = self.fMRI_encoder(responses)
        levels = self.image_decoder(memory)
        words = None
        if text and self.settings.text:
            words = self.text_proj(self.text_decoder(memory)[-1])
        return EncoderOutput(levels, self.image_proj(levels[-1]), words)

    @property
    def voxels(self) -> int:
        """Number of voxels that it reads."""
        return self.fMRI_encoder.proj[0].in_features
