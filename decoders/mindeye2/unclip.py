"""The unCLIP generator: image tokens -> latent image -> picture.

An SDXL-shaped UNet (Podell et al. 2023) whose cross-attention reads ViT-bigG patch tokens and whose
vector condition is the original size and crop only.  It was trained by the MindEye2 authors with
``generative-models`` (sgm); here it runs in diffusers with the same noise levels, an Euler sampler,
and guidance against random tokens.

Two peculiarities are part of the released weights.  The tokens describe a washed-out image in
[0.5, 1], because images in [0, 1] went into an embedder made for [-1, 1]; decoded images therefore
leave as 0.8 x + 0.2.  And the unconditional tokens are fresh Gaussian noise, not zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from harness.api import ConfigError

from .settings import TRAIN_STEPS


@dataclass(frozen=True)
class UNetSettings:
    """Sizes in sgm's terms; the defaults are those of ``unclip6.yaml``.

    channels, multipliers, blocks : width, its factor at each resolution, residual blocks at each.
    attention_at : downsampling factors that have cross-attention.
    depth : transformer layers at each resolution.
    head_channels : channels per attention head.
    token_dim, vector_dim : of the image tokens and of the size vector.
    latent_channels : channels of the latent image.
    """

    channels: int = 320
    multipliers: tuple[int, ...] = (1, 2, 4)
    blocks: int = 2
    attention_at: tuple[int, ...] = (2, 4)
    depth: tuple[int, ...] = (1, 2, 10)
    head_channels: int = 64
    token_dim: int = 1664
    vector_dim: int = 1024
    latent_channels: int = 4

    def __post_init__(self) -> None:
        if len(self.depth) != len(self.multipliers):
            raise ConfigError(
                f"unclip depth has {len(self.depth)} entries for {len(self.multipliers)} resolutions; "
                "give one per entry of multipliers"
            )
        wide = [self.channels * m for k, m in enumerate(self.multipliers) if 2**k in self.attention_at]
        uneven = [width for width in wide if width % self.head_channels]
        if uneven:
            raise ConfigError(
                f"unclip has {uneven[0]} channels, not a multiple of head_channels {self.head_channels}"
            )
        if self.channels % 32:
            raise ConfigError(f"unclip channels is {self.channels}; group norms need a multiple of 32")


def diffusers_config(settings: UNetSettings) -> dict[str, Any]:
    """Arguments of ``UNet2DConditionModel``.

    The size vector enters as a "projection" class embedding; ``attention_head_dim`` is, by an old
    quirk of diffusers, the number of heads.
    """
    s = settings
    levels = range(len(s.multipliers))
    attends = [2**level in s.attention_at for level in levels]
    widths = tuple(s.channels * m for m in s.multipliers)
    return {
        "in_channels": s.latent_channels,
        "out_channels": s.latent_channels,
        "down_block_types": tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        "up_block_types": tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        "block_out_channels": widths,
        "layers_per_block": s.blocks,
        "transformer_layers_per_block": s.depth,
        "attention_head_dim": tuple(max(1, width // s.head_channels) for width in widths),
        "cross_attention_dim": s.token_dim,
        "use_linear_projection": True,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": s.vector_dim,
    }


def build_unet(settings: UNetSettings) -> nn.Module:
    """An untrained ``diffusers.UNet2DConditionModel`` of these sizes, on the default device."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**diffusers_config(settings))


def noise_levels() -> torch.Tensor:
    """(1000,) float64 sigma of every training step: betas 0.00085 to 0.012, linear in their roots."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAIN_STEPS, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, dim=0)
    return torch.sqrt((1 - kept) / kept)


def euler_steps(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Time steps (count,) int64, falling from 999, and sigmas (count + 1,) float32 that end in 0.

    Steps are ``int(999 * (1 - i / count))``: equal spacing without the last one, truncated, which
    is one less than diffusers' "trailing" spacing in places.
    """
    if not 1 <= count < TRAIN_STEPS:
        raise ConfigError(f"unclip steps is {count}; expected 1 to {TRAIN_STEPS - 1}")
    # In double precision and by this formula: truncation must fall as in numpy's linspace.
    width = -(TRAIN_STEPS - 1) / count
    steps = torch.tensor([int(TRAIN_STEPS - 1 + i * width) for i in range(count)])
    sigmas = torch.cat([noise_levels()[steps], torch.zeros(1, dtype=torch.float64)])
    return steps, sigmas.float()


def size_vector(sizes: torch.Tensor, *, width: int = 256) -> torch.Tensor:
    """Numbers (B, k), such as height and width -> (B, k * width), each cosines then sines."""
    half = width // 2
    rates = torch.exp(-torch.log(torch.tensor(1e4)) * torch.arange(half, dtype=torch.float32) / half)
    angles = sizes.float()[..., None] * rates.to(sizes.device)
    return torch.cat([angles.cos(), angles.sin()], dim=-1).flatten(1)


def picture_vector(batch: int, *, size: int = 768, width: int = 256) -> torch.Tensor:
    """(batch, 4 * width): original height and width `size`, crop at the corner."""
    return size_vector(torch.tensor([[float(size), float(size), 0.0, 0.0]]), width=width).expand(batch, -1)


@dataclass(frozen=True)
class Draws:
    """All random numbers of one generation, drawn per image so that batches cannot matter.

    Public order: latent, unconditional tokens, noise, offset; one offset per image.
    """

    latent: torch.Tensor  # (B, C, h, w)
    tokens: torch.Tensor  # (B, n, dim)
    noise: torch.Tensor  # (B, C, h, w)
    offset: torch.Tensor  # (B,)

    @classmethod
    def of(cls, generators: list[torch.Generator], *, latent: tuple[int, ...], tokens: tuple[int, ...]):
        """Draw from one CPU generator per image; `latent` and `tokens` are shapes of one image."""
        shapes = (latent, tokens, latent, ())
        drawn = [[torch.randn(shape, generator=generator) for shape in shapes] for generator in generators]
        return cls(*(torch.stack(parts) for parts in zip(*drawn)))


def start_latent(draws: Draws, *, sigma: float, offset_level: float = 0.04) -> torch.Tensor:
    """Where sampling starts, in units where the clean latent has weight one.

    z + sigma (noise + 0.04 c), one c per image over all of it: the model was trained with offset
    noise.  z is a standard normal draw, not a latent of an image.
    """
    offset = draws.offset.view(-1, *(1,) * (draws.noise.ndim - 1))
    return draws.latent + sigma * (draws.noise + offset_level * offset)


class EpsilonModel(Protocol):
    """What the sampler calls; a diffusers UNet has this form."""

    def __call__(
        self, sample: torch.Tensor, timestep: Any, *, encoder_hidden_states: Any, class_labels: Any
    ) -> Any: ...


@torch.no_grad()
def sample_latent(
    unet: EpsilonModel,
    start: torch.Tensor,
    *,
    tokens: torch.Tensor,
    unconditional: torch.Tensor,
    vector: torch.Tensor,
    steps: int = 38,
    guidance: float = 5.0,
) -> torch.Tensor:
    """Euler sampling with classifier-free guidance: (B, C, h, w) -> clean latent.

    Parameters
    ----------
    start : from :func:`start_latent`, noise of the first sigma included; steps add up in its precision.
    tokens, unconditional : (B, n, dim) conditions of the two halves of the guidance, in the network's.
    vector : (B, vector_dim), the same for both.
    """
    times, sigmas = euler_steps(steps)
    states, vectors = torch.cat([unconditional, tokens]), torch.cat([vector, vector])
    latent = start
    for number, time in enumerate(times.tolist()):
        sigma, after = sigmas[number].item(), sigmas[number + 1].item()
        scaled = latent / (sigma**2 + 1) ** 0.5
        noisy = torch.cat([scaled, scaled]).to(states.dtype)
        output = unet(noisy, time, encoder_hidden_states=states, class_labels=vectors)
        without, given = output.sample.to(latent.dtype).chunk(2)
        slope = without + guidance * (given - without)  # guidance on noise equals guidance on images
        latent = latent + (after - sigma) * slope
    return latent


def to_picture(decoded: torch.Tensor) -> torch.Tensor:
    """VAE output (B, 3, H, W) -> [0, 1]; undoes that tokens describe images in [0.5, 1]."""
    return (0.8 * decoded + 0.2).clamp(0, 1)


def washed_out(images: torch.Tensor) -> torch.Tensor:
    """Images in [0, 1] as the token embedder saw them in training: [0.5, 1]."""
    return (images + 1) / 2
