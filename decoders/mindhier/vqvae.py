"""The VQ-VAE of VAR and Switti: pictures <-> codes at K scales.

Layout and key names are those of github.com/yandex-research/switti (``models/vqvae.py``,
``models/basic_vae.py``), so that ``yresearch/VQVAE-Switti`` and VAR's ``vae_ch160v4096z32`` load.  The
convolutional halves are those of latent diffusion (Rombach et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from harness.api import ConfigError

from .quantizer import MultiScaleQuantizer
from .scales import SIDES_512, check_sides


@dataclass(frozen=True)
class VqVaeSettings:
    """Sizes; the defaults are those of the released weights.

    codes, code_channels : of the codebook.
    sides : of the token maps, the last that of the latent image.
    channels, multipliers, blocks : width at full resolution, per level, residual blocks per level.
    norm_groups : of the group norms, 32 in the released weights.
    """

    codes: int = 4096
    code_channels: int = 32
    sides: tuple[int, ...] = SIDES_512
    channels: int = 160
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    norm_groups: int = 32
    share: float = 0.5
    refiners: int = 4
    beta: float = 0.25

    def __post_init__(self) -> None:
        check_sides(self.sides)
        uneven = [m for m in self.multipliers if self.channels * m % self.norm_groups]
        if uneven:
            raise ConfigError(
                f"mindhier's VQ-VAE has {self.channels * uneven[0]} channels, no multiple of norm_groups "
                f"{self.norm_groups}; choose norm_groups that divides every width"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels per level, the highest resolution first."""
        return tuple(self.channels * m for m in self.multipliers)

    @property
    def picture(self) -> int:
        """Height and width of pictures in pixels."""
        return self.sides[-1] * 2 ** (len(self.multipliers) - 1)


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


class ResidualBlock(nn.Module):
    """norm, SiLU, convolution, twice."""

    def __init__(self, channels: int, out: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(channels, groups), nn.Conv2d(channels, out, 3, padding=1)
        self.norm2, self.conv2 = _norm(out, groups), nn.Conv2d(out, out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class MapAttention(nn.Module):
    """Single-head attention among all places of a map, with a residual."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = _norm(channels, groups)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, dim=2)  # (B, places, C)
        mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + self.proj_out(mixed.transpose(1, 2).reshape(x.shape))


class _Middle(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, groups)
        self.attn_1 = MapAttention(channels, groups)
        self.block_2 = ResidualBlock(channels, channels, groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _Shrink(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class _Enlarge(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class _Level(nn.Module):
    """Residual blocks of one resolution, with attention at the lowest."""

    def __init__(self, widths: Sequence[int], groups: int, *, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(a, b, groups) for a, b in pairwise(widths))
        self.attn = nn.ModuleList(MapAttention(b, groups) for b in widths[1:] if attention)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for place, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[place](x)
        return x


class PictureEncoder(nn.Module):
    """Pictures (B, 3, H, W) -> features (B, C, h, w) before ``quant_conv``."""

    def __init__(self, settings: VqVaeSettings) -> None:
        super().__init__()
        widths, groups, last = settings.widths, settings.norm_groups, len(settings.widths) - 1
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        for level, width in enumerate(widths):
            before = widths[max(level - 1, 0)]
            part = _Level([before] + [width] * settings.blocks, groups, attention=level == last)
            if level < last:
                part.downsample = _Shrink(width)
            self.down.append(part)
        self.mid = _Middle(widths[-1], groups)
        self.norm_out = _norm(widths[-1], groups)
        self.conv_out = nn.Conv2d(widths[-1], settings.code_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
            if hasattr(level, "downsample"):
                x = level.downsample(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class PictureDecoder(nn.Module):
    """(B, C, h, w) after ``post_quant_conv`` -> pictures (B, 3, H, W)."""

    def __init__(self, settings: VqVaeSettings) -> None:
        super().__init__()
        widths, groups, last = settings.widths, settings.norm_groups, len(settings.widths) - 1
        self.conv_in = nn.Conv2d(settings.code_channels, widths[-1], 3, padding=1)
        self.mid = _Middle(widths[-1], groups)
        levels = []
        for level, width in enumerate(widths):
            before = widths[min(level + 1, last)]
            part = _Level([before] + [width] * (settings.blocks + 1), groups, attention=level == last)
            if level:
                part.upsample = _Enlarge(width)
            levels.append(part)
        self.up = nn.ModuleList(levels)
        self.norm_out = _norm(widths[0], groups)
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
            if hasattr(level, "upsample"):
                x = level.upsample(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class VQVAE(nn.Module):
    """Pictures in [-1, 1] <-> codes of K scales."""

    def __init__(self, settings: VqVaeSettings) -> None:
        super().__init__()
        self.settings = s = settings
        self.encoder, self.decoder = PictureEncoder(s), PictureDecoder(s)
        self.quantize = MultiScaleQuantizer(
            s.codes, s.code_channels, s.sides, share=s.share, refiners=s.refiners, beta=s.beta
        )
        self.quant_conv = nn.Conv2d(s.code_channels, s.code_channels, 3, padding=1)
        self.post_quant_conv = nn.Conv2d(s.code_channels, s.code_channels, 3, padding=1)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] -> latent images (B, C, h, w), not yet quantised."""
        return self.quant_conv(self.encoder(pictures))

    def codes(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W) in [-1, 1] -> codes (B, L)."""
        return self.quantize(self.features(pictures)).codes

    def picture(self, total: torch.Tensor) -> torch.Tensor:
        """Sum over all scales (B, C, h, w) -> pictures (B, 3, H, W) in [-1, 1]."""
        return self.decoder(self.post_quant_conv(total)).clamp(-1, 1)
