"""The small token embedder and teacher, and the sizes of what is trained on their tokens."""

from __future__ import annotations

import torch
from torch.nn.functional import adaptive_avg_pool2d

from harness.backbones.images import resized
from harness.backbones.tiny.backbone import MEAN, SD, SIDE, read_weights
from harness.backbones.tiny.bigg import BigGTiny
from harness.backbones.tiny.networks.bigg import BigG
from harness.nn.diffusion_prior import PriorSettings

from ..backbone import BackboneSettings
from ..model import ModelSettings
from ..unclip import washed_out
from .small import HIDDEN

SIZES = ModelSettings(
    BackboneSettings(
        hidden=HIDDEN, blocks=1, token_dim=64, tokens=16, side=2, map_channels=32, latent_channels=12,
        decoder_channels=(16, 16, 16), norm_groups=8, auxiliary_dim=64,
    ),
    PriorSettings(token_dim=64, tokens=16, depth=3, heads=4, head_size=16),
)  # fmt: skip


class BigGTokens(torch.nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> ``bigg@tiny``'s patch tokens (B, 16, 64) of the washed-out image.

    The public embedder takes images in [0, 1] for images in [-1, 1] (:mod:`..unclip`); so does this.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = BigG()
        self.network.load_state_dict(read_weights(BigGTiny.weights_file()))
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = resized(washed_out(images.float()), SIDE)
        return self.network((x - MEAN) / SD)["tokens"]

    def teach(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> (B, 4, 64) of the convolutional stem, averaged over quarters: the teacher's tokens."""
        maps = self.network.stem((resized(images.float(), SIDE) - MEAN) / SD)
        return adaptive_avg_pool2d(maps, SIZES.backbone.side).flatten(2).transpose(1, 2)

    def identity(self) -> str:
        """Hash of the weights."""
        return BigGTiny().identity()


class Stem(torch.nn.Module):
    """The teacher of the low-level head: the embedder's convolutional stem, :meth:`BigGTokens.teach`."""

    def __init__(self, embedder: BigGTokens) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See :meth:`BigGTokens.teach`."""
        return self.embedder.teach(images)
