"""OpenCLIP's ViT-bigG image tower, read at its patch tokens: what MindEye2 predicts.

Names are OpenCLIP's, so that ``visual.*`` of its files, and the copy inside the public generator's
checkpoint, load strictly.  Tokens are those after the last norm, without the class token, not
projected (open_clip 2.23 and later; earlier versions returned them before the norm).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .checkpoints import read_weights
from .unclip import washed_out
from .unclip_keys import load_exactly

MEAN = (0.48145466, 0.4578275, 0.40821073)
SD = (0.26862954, 0.26130258, 0.27577711)
"""Of CLIP's training images (openai/CLIP)."""

PREFIXES = ("conditioner.embedders.0.model.visual.", "visual.")
"""Where the tower's weights stand in the generator's checkpoint, and in an OpenCLIP file."""


@dataclass(frozen=True)
class TowerSettings:
    """Sizes of the tower; the defaults are ViT-bigG/14's (open_clip ``ViT-bigG-14``)."""

    side: int = 224
    patch: int = 14
    width: int = 1664
    depth: int = 48
    heads: int = 16
    expand: float = 4.9231
    projected: int = 1280


class Block(nn.Module):
    """A residual block of OpenCLIP's towers, under its names."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        layers = [("c_fc", nn.Linear(width, inner)), ("gelu", nn.GELU()), ("c_proj", nn.Linear(inner, width))]
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        """(B, n, width) -> the same; `mask` (n, n) is added to the logits of attention."""
        given = self.ln_1(x)
        x = x + self.attn(given, given, given, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class PatchTokens(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> tokens (B, (side / patch)^2, width) of the washed-out image."""

    def __init__(self, settings: TowerSettings) -> None:
        super().__init__()
        s = self.settings = settings
        spread = s.width**-0.5
        self.conv1 = nn.Conv2d(3, s.width, s.patch, s.patch, bias=False)
        self.class_embedding = nn.Parameter(spread * torch.randn(s.width))
        self.positional_embedding = nn.Parameter(spread * torch.randn((s.side // s.patch) ** 2 + 1, s.width))
        self.ln_pre = nn.LayerNorm(s.width)
        self.transformer = nn.Module()
        inner = int(s.width * s.expand)
        self.transformer.resblocks = nn.ModuleList(Block(s.width, s.heads, inner) for _ in range(s.depth))
        self.ln_post = nn.LayerNorm(s.width)
        self.proj = nn.Parameter(spread * torch.randn(s.width, s.projected))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        images = resized(images, self.settings.side)
        mean, sd = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, SD))
        x = self.conv1((washed_out(images) - mean) / sd).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x)
        return self.ln_post(x)[:, 1:]

    @classmethod
    def from_public(cls, path: Path, settings: TowerSettings | None = None) -> PatchTokens:
        """Read the tower from the generator's checkpoint or from an OpenCLIP file."""
        settings = settings or TowerSettings()
        weights = tower_state(read_weights(path))
        with torch.device("meta"):
            tower = cls(settings)
        tower = tower.to_empty(device="cpu")
        load_exactly(tower, weights, what=f"the image tower in {path.name}")
        return tower.eval().requires_grad_(False)


def resized(images: torch.Tensor, side: int) -> torch.Tensor:
    """(B, 3, H, W) -> (B, 3, side, side) as kornia 0.7 does for sgm's embedder.

    Bicubic with aligned corners; before reducing by a factor f, a Gaussian blur of SD (f - 1) / 2
    whose kernel spans two SD on either side.
    """
    from torchvision.transforms.functional import gaussian_blur

    if tuple(images.shape[-2:]) == (side, side):
        return images
    factors = [size / side for size in images.shape[-2:]]
    if max(factors) > 1:
        spread = [max((factor - 1) / 2, 1e-3) for factor in factors]
        widths = [int(max(4 * one, 3)) // 2 * 2 + 1 for one in spread]
        images = gaussian_blur(images, widths[::-1], spread[::-1])  # torchvision's order is x, y
    return F.interpolate(images, (side, side), mode="bicubic", align_corners=True)


def tower_state(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tower's own weights under its own names; all of `weights` if no prefix is found."""
    for prefix in PREFIXES:
        found = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        if found:
            return found
    return dict(weights)
