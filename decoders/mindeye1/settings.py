"""Sizes of both networks, and how they are fitted; no network is imported to say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.nn.diffusion_prior import PriorSettings


@dataclass(frozen=True)
class NetworkSettings:
    """Sizes of the trained part; the defaults are those of the released models.

    hidden, blocks : width of the voxel perceptron and its residual blocks.
    tokens, token_dim : of the image tokens.
    projected : width of the projector's hidden layers; 2048 in the public code whatever the tokens have.
    depth, heads, head_size, timesteps : of the prior.
    """

    hidden: int = 4096
    blocks: int = 4
    tokens: int = 257
    token_dim: int = 768
    projected: int = 2048
    depth: int = 6
    heads: int = 12
    head_size: int = 64
    timesteps: int = 100

    @property
    def prior(self) -> PriorSettings:
        """Of the prior's network."""
        from harness.nn.diffusion_prior import PriorSettings

        return PriorSettings(
            token_dim=self.token_dim,
            tokens=self.tokens,
            depth=self.depth,
            heads=self.heads,
            head_size=self.head_size,
            timesteps=self.timesteps,
        )


@dataclass(frozen=True)
class LowLevelSettings:
    """Sizes; the defaults are those of the released model.

    hidden, blocks : of the residual perceptron.
    side, channels : of the map that is enlarged, 4-fold for three `decoder_channels`.
    latent_channels, decoder_channels, layers, norm_groups : of the convolutional decoder.
    contrast_dim : width of the head that is compared with the teacher; 0 for none.
    """

    hidden: int = 4096
    blocks: int = 4
    side: int = 16
    channels: int = 64
    latent_channels: int = 4
    decoder_channels: tuple[int, ...] = (64, 128, 256)
    layers: int = 1
    norm_groups: int = 32
    contrast_dim: int = 512

    @property
    def latent_side(self) -> int:
        """Height and width of the latents."""
        return self.side * 2 ** (len(self.decoder_channels) - 1)


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How both networks are fitted; the defaults are those of the released models on one device.

    low_* : of the low-level network.  faithful : keep the public code's slips (MixCo labels that are written
    over).
    """

    epochs: int = 240
    batch: int = 32
    learning_rate: float = 3e-4
    low_epochs: int = 120
    low_batch: int = 8
    low_learning_rate: float = 5e-4
    decay: float = 1e-2
    mixco_share: float = 0.33
    drop: float = 0.2
    faithful: bool = False
