"""Settings of systems that lead image tokens to the latent of an autoencoder of responses.

They import no network, so that parameters which inherit them are read without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..api import ConfigError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class LatentSettings:
    """An autoencoder of responses whose latent has the shape of image tokens, then a way to it from them.

    kl, contrast : weights of the autoencoder's loss, beside a squared error summed over voxels
    vae_epochs, vae_rate, vae_decay : of the autoencoder's training
    depth, heads, ema : of the transformer that is trained then
    epochs, batch, rate : of the transformer's training
    """

    kl: float = 0.001
    contrast: float = 1000.0
    vae_epochs: int = 15
    vae_rate: float = 1e-4
    vae_decay: float = 0.05
    depth: int = 8
    heads: int = 12
    ema: float = 0.9999
    epochs: int = 45
    batch: int = 24
    rate: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class FlowSettings(LatentSettings):
    """Sizes and training of the autoencoder and the flow, as published.

    inner, blocks : of the autoencoder
    cycle : weight in the autoencoder's loss of its reconstruction, encoded again
    vae_batch : of the autoencoder's training
    steps : of the flow's way from one end to the other
    """

    inner: int = 1024
    blocks: int = 2
    cycle: float = 1000.0
    vae_epochs: int = 30
    vae_batch: int = 64
    depth: int = 12
    steps: int = 20

    def loss_weights(self) -> dict[str, float]:
        """Of the terms of :meth:`.flow_vae.NeuroVAE.terms`."""
        return {"reconstruction": 1.0, "kl": self.kl, "contrast": self.contrast, "cycle": self.cycle}

    def networks(self, voxels: int, tokens: int, width: int, *, source: str, section: str) -> nn.Module:
        """``vae`` of so many voxels and ``flow``, for `tokens` image tokens of size `width`.

        Raises
        ------
        ConfigError
            The levels of the autoencoder do not divide the tokens, or the heads the width; says that `source`
            has them, and ``section.heads``.
        """
        from torch import nn

        from .flow_vae import MULTIPLES, NeuroVAE
        from .sit import SiT

        channels, rest = divmod(tokens, MULTIPLES[-1])
        if rest or width % self.heads:
            raise ConfigError(
                f"{source} has {tokens} tokens of {width}; expected a number that {MULTIPLES[-1]} "
                f"divides and a width that {section}.heads={self.heads} divides"
            )
        network = nn.Module()
        network.vae = NeuroVAE(
            voxels, channels=channels, inner=self.inner, token_dim=width, blocks=self.blocks
        )
        network.flow = SiT(tokens=tokens, width=width, depth=self.depth, heads=self.heads)
        return network
