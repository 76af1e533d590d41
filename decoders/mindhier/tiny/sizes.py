"""Sizes of the small networks: pictures of 64 pixels, latent images of 8 x 8, six scales, 512 codes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.backbones.images import resized
from harness.backbones.tiny.backbone import MEAN, SD, SIDE, read_weights
from harness.backbones.tiny.bigg import BigGTiny
from harness.backbones.tiny.networks.bigg import DEPTH, BigG

from ..encoder import EncoderSettings
from ..settings import layers_of
from ..transformer import TransformerSettings
from ..vqvae import VqVaeSettings

VQVAE_SIZES = VqVaeSettings(
    codes=512, code_channels=12, sides=(1, 2, 3, 4, 6, 8), channels=16, multipliers=(1, 2, 4, 4), blocks=1,
    norm_groups=8,
)  # fmt: skip
TRANSFORMER_SIZES = TransformerSettings(
    depth=4, width=128, heads=4, codes=512, code_channels=12, sides=VQVAE_SIZES.sides, context_width=64,
    pooled_width=64,
)  # fmt: skip
ENCODER_SIZES = EncoderSettings(
    width=64, heads=4, voxel_tokens=8, image_tokens=17, text_tokens=1, levels=4, hidden=(192, 128),
)  # fmt: skip
LAYERS = DEPTH
LEVELS = layers_of("early", levels=ENCODER_SIZES.levels, layers=LAYERS)
"""Blocks 1 to 4: the only map that has a layer of its own for each level in a network of four."""


class BigGLevels(torch.nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> blocks of ``bigg@tiny`` after its last norm, (B, 17, 64) each."""

    def __init__(self, chosen: Sequence[int]) -> None:
        super().__init__()
        self.network, self.chosen = BigG(), tuple(chosen)
        self.network.load_state_dict(read_weights(BigGTiny.weights_file()))
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """One per level, the first level first."""
        layers = self.network((resized(images.float(), SIDE) - MEAN) / SD)
        return [self.network.norm(layers[f"block{g}"]) for g in self.chosen]

    def identity(self) -> str:
        """Hash of the weights."""
        return BigGTiny().identity()
