"""OpenCLIP's ViT-bigG image tower, read at its patch tokens: what MindEye2 predicts.

``visual.*`` of OpenCLIP's files, and the copy inside the public generator's checkpoint, load strictly.
Tokens are those after the last norm, without the class token, not projected (open_clip 2.23 and later;
earlier versions returned them before the norm).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from harness.backbones.openclip import BIGG_IMAGE, ImageSizes, image_tower, with_weights
from harness.backbones.preprocessing import CLIP

from ..files import check_exactly
from .checkpoints import read_weights
from .unclip import washed_out

PREFIXES = ("conditioner.embedders.0.model.visual.", "visual.")
"""Where the tower's weights stand in the generator's checkpoint, and in an OpenCLIP file."""


class PatchTokens(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> tokens (B, (side / patch)^2, width) of the washed-out image.

    `visual` is open_clip's image tower (:func:`harness.backbones.openclip.image_tower`).
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        visual.output_tokens = True

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        images = resized(images, self.visual.image_size[0])
        _, tokens = self.visual(CLIP.normalised(washed_out(images)))
        return tokens

    @classmethod
    def from_public(cls, path: Path, sizes: ImageSizes = BIGG_IMAGE) -> PatchTokens:
        """Read the tower from the generator's checkpoint or from an OpenCLIP file."""
        weights, tower = tower_state(read_weights(path)), image_tower(sizes)
        check_exactly(tower, weights, what=f"the image tower in {path.name}")
        return cls(with_weights(tower, weights)).eval()


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
        widths = [int(max(4 * sigma, 3)) // 2 * 2 + 1 for sigma in spread]
        images = gaussian_blur(images, widths[::-1], spread[::-1])  # torchvision's order is x, y
    return F.interpolate(images, (side, side), mode="bicubic", align_corners=True)


def tower_state(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tower's own weights under its own names; all of `weights` if no prefix is found."""
    for prefix in PREFIXES:
        state = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        if state:
            return state
    return dict(weights)
