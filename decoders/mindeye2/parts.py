"""What the decoder is made of, and how it decodes: the same words at every size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from harness.api import ConfigError, VoxelSpace

from . import low_level
from .generator import Generator
from .model import ModelSettings
from .room import Later, Room
from .teacher import Teacher


class TokenEmbedder(Protocol):
    """The frozen network whose tokens are predicted; (B, 3, H, W) in [0, 1] -> (B, tokens, dim)."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor: ...


class CaptionWriter(Protocol):
    """Tokens (N, tokens, dim) -> N captions."""

    def __call__(self, tokens: torch.Tensor) -> tuple[str, ...]: ...


class PictureRefiner(Protocol):
    """Pictures (N, 3, H, W) in [0, 1], N captions, a CPU generator each -> refined pictures."""

    def __call__(
        self,
        pictures: torch.Tensor,
        captions: Sequence[str],
        *,
        generators: Sequence[torch.Generator],
        room: Room,
    ) -> torch.Tensor: ...


@dataclass(frozen=True)
class Parts:
    """What the decoder is made of.

    embedder, generator : the generator draws from the embedder's tokens.  Responses are decoded without the
        embedder, which may therefore be built later.
    settings : sizes of what is trained.
    vae, latent_scale : of the low-level path, needed if ``settings`` has a low-level head.
    teacher : builds the teacher of the low-level head, which only a fit needs; optional: without one its
        contrastive term is left out.
    captioner, refiner : build what writes captions of the predicted tokens, and what refines pictures
        prompted with these; optional, and called when first drawn, since a fit needs neither.
    pretrained : a subject's space -> weights of a network trained on others, or None to start from
        nothing.
    identity : hash of the weights behind the targets of a fit; ``""``, unknown, keeps no targets.
    dtype : of the trained network's products while it decodes; where it is not float32, what is decoded is
        float16.
    """

    embedder: TokenEmbedder | Later
    generator: Generator
    settings: ModelSettings
    vae: torch.nn.Module | None = None
    latent_scale: float = low_level.LATENT_SCALE
    teacher: Callable[[], Teacher] | None = None
    captioner: Callable[[], CaptionWriter] | None = None
    refiner: Callable[[], PictureRefiner] | None = None
    pretrained: Callable[[VoxelSpace], Mapping[str, torch.Tensor] | None] = lambda space: None
    identity: str = ""
    dtype: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        ours, theirs = self.settings.backbone.token_dim, self.generator.unet_settings.token_dim
        if ours != theirs:
            raise ConfigError(f"mindeye2 predicts tokens of size {ours}, the generator reads {theirs}")
        if self.settings.backbone.low_level and self.vae is None:
            raise ConfigError("mindeye2 has a low-level head and no VAE; give one, or set low_level: false")
        if self.refiner is not None and self.captioner is None:
            raise ConfigError("mindeye2 refines with captions as prompts and has no captioner; give both")
