"""Encoders that see an image as tokens, and those that lead tokens to the latent of an autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.nn.latent_settings import LatentSettings

from .network import NetworkEncoder
from .params import Training
from .stages import Batch, Stage

if TYPE_CHECKING:
    from torch import Tensor, nn


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
class LatentTraining(LatentSettings, TokenTraining):
    """An autoencoder, whose training is not clipped, then a transformer, whose is."""

    clip: float = 1.0


def autoencoder_stage(
    params: LatentTraining, vae: nn.Module, loss: Callable[[Batch], Mapping[str, Tensor]], *, batch: int
) -> Stage:
    """The first training; its last weights count."""
    how = {"decay": params.vae_decay, "keep": "last"}
    return Stage("vae", vae, loss, params.vae_epochs, batch, params.vae_rate, **how)
