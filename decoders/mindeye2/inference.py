"""From responses to tokens, and from tokens to pictures: the steps of the public inference code.

Outputs of an image's trials are averaged, then the prior cleans the averaged tokens up, then the
generator draws.  Unlike there, every image has random generators of its own, so that neither the
order nor the batch of images changes a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from harness.api import ConfigError
from harness.decoders.drawing import draws
from harness.nn.halving import half_products, safe_attention

from . import unclip
from .backbone import BackboneOutput
from .conditions import conditions_once
from .low_level import Autoencoder, decode_sliced
from .model import MindEye2Network, mean_over_repeats
from .room import Room
from .settings import LATENT_SCALE, TRAIN_STEPS


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
    latent_scale: float = LATENT_SCALE

    def __post_init__(self) -> None:
        if self.side < 1 or self.picture < 1:
            raise ConfigError(f"mindeye2 side {self.side} and picture {self.picture} must be at least 1")
        if not 1 <= self.steps < TRAIN_STEPS:
            raise ConfigError(f"mindeye2 steps is {self.steps}; expected 1 to {TRAIN_STEPS - 1}")


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

    `image_index` (T,) is the image of each trial; every image has at least one.  Where the network's products
    are halved, repeats are averaged and the prior's steps added up in float32.
    """
    weight = network.backbone.backbone_linear.weight
    device, dtype = weight.device, weight.dtype
    with half_products(device, dtype):
        output = network.backbone(network.ridge(responses.to(device), subject=subject))
    output = BackboneOutput(*(None if part is None else part.float() for part in output))
    output = mean_over_repeats(output, image_index.to(device), len(generators))
    shape = tuple(output.tokens.shape[1:])

    def noise() -> torch.Tensor:
        return draws(generators, shape).to(device)

    with half_products(device, dtype):
        tokens = network.diffusion_prior.sample(output.tokens, noise=noise, steps=steps, guidance=guidance)
    return Prediction(tokens.float(), output.tokens, output.retrieval, output.latents)


@torch.no_grad()
def draw_pictures(
    unet: nn.Module,
    vae: Autoencoder,
    tokens: torch.Tensor,
    *,
    generators: Sequence[torch.Generator],
    settings: GeneratorSettings | None = None,
    room: Room | None = None,
) -> torch.Tensor:
    """Tokens (N, n, dim) -> pictures (N, 3, H, W) in [0, 1], one sample each.

    The UNet runs in the precision of its weights and the steps add up in float32.  The VAE should be in
    float32: SDXL's overflows in half precision, but for the one that was fixed for it.
    """
    s, config = settings or GeneratorSettings(), unet.config
    room = room or Room(str(tokens.device))
    width = config.projection_class_embeddings_input_dim // 4
    start_draws = unclip.Draws.of(
        list(generators),
        latent=(config.in_channels, s.side, s.side),
        tokens=tuple(tokens.shape[1:]),
    )
    sigma = unclip.euler_steps(s.steps)[1][0].item()
    start = unclip.start_latent(start_draws, sigma=sigma, offset_level=s.offset)
    kind = {"device": room.device, "dtype": getattr(unet, "dtype", tokens.dtype)}
    with room.use(unet), safe_attention(**kind), conditions_once(unet):
        latent = unclip.sample_latent(
            unet,
            start.to(room.device),
            tokens=tokens.to(**kind),
            unconditional=start_draws.tokens.to(**kind),
            vector=unclip.picture_vector(len(tokens), size=s.picture, width=width).to(**kind),
            steps=s.steps,
            guidance=s.guidance,
        )
    with room.use(vae):
        return unclip.to_picture(decode_sliced(vae, latent / s.latent_scale))
