"""From responses to tokens, and from tokens to pictures: the steps of the public inference code.

Outputs of an image's trials are averaged, then the prior cleans the averaged tokens up, then the
generator draws.  Unlike there, every image has random generators of its own, so that neither the
order nor the batch of images changes a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from harness.api import ConfigError

from . import unclip
from .low_level import Autoencoder
from .model import MindEye2Network, mean_over_repeats


@dataclass(frozen=True)
class Prediction:
    """What the trained part makes of N images' responses."""

    tokens: torch.Tensor  # (N, tokens, dim) of the prior: what the generator draws
    backbone: torch.Tensor  # (N, tokens, dim) before the prior
    retrieval: torch.Tensor  # (N, tokens, dim) for retrieval metrics
    latents: torch.Tensor | None  # (N, C, h, w) scaled latents of the blurry image


@dataclass(frozen=True)
class GeneratorSettings:
    """How pictures are drawn; the defaults are those of the public inference code.

    side : of the latent image; the picture is eight times as large with SDXL's VAE.
    picture : height and width that the size vector tells the network.
    steps, guidance, offset : of the Euler sampler.
    latent_scale : of the VAE.
    """

    side: int = 96
    picture: int = 768
    steps: int = 38
    guidance: float = 5.0
    offset: float = 0.04
    latent_scale: float = unclip.LATENT_SCALE

    def __post_init__(self) -> None:
        if self.side < 1 or self.picture < 1:
            raise ConfigError(f"mindeye2 side {self.side} and picture {self.picture} must be at least 1")
        if not 1 <= self.steps < unclip.TRAIN_STEPS:
            raise ConfigError(f"mindeye2 steps is {self.steps}; expected 1 to {unclip.TRAIN_STEPS - 1}")


def image_generators(seeds: np.ndarray) -> list[torch.Generator]:
    """One CPU generator per image; `seeds` (N,) uint64."""
    return [torch.Generator().manual_seed(int(seed) & (2**63 - 1)) for seed in seeds]


@torch.no_grad()
def predict(
    network: MindEye2Network,
    responses: torch.Tensor,
    image_index: torch.Tensor,
    *,
    generators: Sequence[torch.Generator],
    subject: int = 0,
    steps: int = 20,
    guidance: float = 1.0,
) -> Prediction:
    """Trials (T, V) of N images, one generator each -> prediction on the device of the network.

    `image_index` (T,) is the image of each trial; every image has at least one.
    """
    device = next(network.parameters()).device
    output = network.backbone(network.ridge(responses.to(device), subject=subject))
    output = mean_over_repeats(output, image_index.to(device), len(generators))
    shape = tuple(output.tokens.shape[1:])

    def noise() -> torch.Tensor:
        return torch.stack([torch.randn(shape, generator=one) for one in generators]).to(device)

    tokens = network.diffusion_prior.sample(output.tokens, noise=noise, steps=steps, guidance=guidance)
    return Prediction(tokens, output.tokens, output.retrieval, output.latents)


@torch.no_grad()
def draw_pictures(
    unet: nn.Module,
    vae: Autoencoder,
    tokens: torch.Tensor,
    *,
    generators: Sequence[torch.Generator],
    settings: GeneratorSettings | None = None,
) -> torch.Tensor:
    """Tokens (N, n, dim) -> pictures (N, 3, H, W) in [0, 1], one sample each.

    The VAE should be in float32: SDXL's overflows in half precision.
    """
    s = settings or GeneratorSettings()
    config = unet.config
    width = config.projection_class_embeddings_input_dim // 4
    draws = unclip.Draws.of(
        list(generators),
        latent=(config.in_channels, s.side, s.side),
        tokens=tuple(tokens.shape[1:]),
    )
    sigma = unclip.euler_steps(s.steps)[1][0].item()
    start = unclip.start_latent(draws, sigma=sigma, offset_level=s.offset)
    kind = {"device": tokens.device, "dtype": tokens.dtype}
    latent = unclip.sample_latent(
        unet,
        start.to(**kind),
        tokens=tokens,
        unconditional=draws.tokens.to(**kind),
        vector=unclip.picture_vector(len(tokens), size=s.picture, width=width).to(**kind),
        steps=s.steps,
        guidance=s.guidance,
    )
    return unclip.to_picture(vae.decode(latent.float() / s.latent_scale).sample)
