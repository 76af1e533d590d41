"""Encoders that see an image as tokens, and those that lead tokens to the latent of an autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from .network import NetworkEncoder
from .params import Training
from .stages import Batch, Stage


@dataclass(frozen=True, kw_only=True)
class TokenTraining(Training):
    """layer : of `backbone`, the image tokens."""

    backbone: str = "dinov2"
    layer: str = "patches"


class TokenEncoder(NetworkEncoder):
    """Its network sees ``tokens`` (N, T, D)."""

    axes: ClassVar[Mapping[str, int]] = {"tokens": 3}

    def layers(self) -> Mapping[str, tuple[str, str]]:
        """The image tokens."""
        return {"tokens": (self.params.backbone, self.params.layer)}


@dataclass(frozen=True, kw_only=True)
class LatentTraining(TokenTraining):
    """An autoencoder of responses whose latent has the shape of image tokens, then a way to it from them.

    kl, contrast : weights of the autoencoder's loss, beside a squared error summed over voxels.
    vae_epochs, vae_rate, vae_decay : of its training; epochs, rate, decay and so on of the second.
    depth, heads, ema : of the transformer that is trained then.
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
    clip: float = 1.0


def autoencoder_stage(
    params: LatentTraining, vae: nn.Module, loss: Callable[[Batch], Mapping[str, Tensor]], *, batch: int
) -> Stage:
    """The first training; its last weights count."""
    how = {"decay": params.vae_decay, "keep": "last"}
    return Stage("vae", vae, loss, params.vae_epochs, batch, params.vae_rate, **how)
