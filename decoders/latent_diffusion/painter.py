"""Drawing with a latent diffusion model that reads words, an image or both, from noise or a first image.

The arithmetic of the samplers is diffusers'.  Noise comes from one generator per image, so that neither order
nor batch changes a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from harness.backbones.images import resized
from harness.decoders.drawing import draws

from .conditions import TRAIN_STEPS, Conditions, Drawing

NOISE = {
    "num_train_timesteps": TRAIN_STEPS,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
"""Of Stable Diffusion, Versatile Diffusion and the small generator alike."""


class NoiseModel(Protocol):
    """Predicts the noise in latents (B, C, h, w) at a time step."""

    def __call__(
        self, latents: torch.Tensor, time: Any, conditions: Conditions, *, words: float
    ) -> torch.Tensor: ...


def _same(values: Any) -> Any:
    return values


def _to_signed(images: torch.Tensor) -> torch.Tensor:
    """[0, 1] -> [-1, 1]."""
    return 2 * images - 1


def _from_signed(images: torch.Tensor) -> torch.Tensor:
    """[-1, 1] -> [0, 1]."""
    return (images / 2 + 0.5).clamp(0, 1)


@dataclass(frozen=True)
class Painter:
    """Conditions -> pictures, and pictures <-> latents.

    noise : predicts noise; `null` : the conditions of the guidance's other half, for those given.
    image_tokens, word_tokens : images (B, 3, H, W) in [0, 1], captions -> conditions; `image_vector` and
        `word_vector` : the same in one space of unit vectors, for the caption nearest to an image.
    vae, latent_scale : of the latents; `side` : height and width of a latent image; `picture` : of a picture.
    prepared : conditions -> what the network reads; `renormed` : predicted tokens -> of true ones' norm.
    into, out_of : images in [0, 1] -> what the VAE encodes, and back from what it decodes.
    modules : all networks, to be moved.
    identity : hash of the weights.
    """

    noise: NoiseModel
    null: Callable[[Conditions, Sequence[torch.Generator]], Conditions]
    image_tokens: Callable[[torch.Tensor], torch.Tensor]
    word_tokens: Callable[[Sequence[str]], torch.Tensor]
    image_vector: Callable[[torch.Tensor], torch.Tensor]
    word_vector: Callable[[Sequence[str]], torch.Tensor]
    vae: nn.Module
    latent_scale: float
    side: int
    picture: int
    modules: tuple[nn.Module, ...]
    identity: str = ""
    prepared: Callable[[Conditions], Conditions] = _same
    renormed: Callable[[torch.Tensor], torch.Tensor] = _same
    into: Callable[[torch.Tensor], torch.Tensor] = _to_signed
    out_of: Callable[[torch.Tensor], torch.Tensor] = _from_signed

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Of one image."""
        return self.vae.config.latent_channels, self.side, self.side

    @property
    def device(self) -> torch.device:
        """Where the VAE is."""
        return next(self.vae.parameters()).device

    def to(self, device: str) -> Painter:
        """Move all networks."""
        for module in self.modules:
            module.to(device)
        return self

    @torch.no_grad()
    def encode(
        self, images: torch.Tensor, *, noise: torch.Tensor | None = None, picture: int = 0
    ) -> torch.Tensor:
        """Images (B, 3, H, W) in [0, 1] -> scaled latents, the posterior's mean or, with `noise`, a draw.

        picture : pixels a side that images are resized to, :attr:`picture` by default.
        """
        sized = resized(images.to(self.device), picture or self.picture)
        posterior = self.vae.encode(self.into(sized)).latent_dist
        latents = (
            posterior.mode() if noise is None else posterior.mean + posterior.std * noise.to(self.device)
        )
        return latents * self.latent_scale

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents -> images (B, 3, H, W) in [0, 1]."""
        return self.out_of(self.vae.decode(latents.to(self.device) / self.latent_scale).sample)

    def draw(
        self,
        conditions: Conditions,
        *,
        drawing: Drawing,
        generators: Sequence[torch.Generator],
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Pictures (B, 3, H, W) in [0, 1]; `start` are the scaled latents of a first image."""
        return self.decode(self.sample(conditions, drawing=drawing, generators=generators, start=start))

    @torch.no_grad()
    def sample(
        self,
        conditions: Conditions,
        *,
        drawing: Drawing,
        generators: Sequence[torch.Generator],
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scaled latents (B, C, h, w)."""
        like = next(self.vae.parameters())
        noise = draws(generators, self.latent_shape).to(like)
        given = self.prepared(conditions.to(like))
        both = self.null(given, generators).to(like).joined(given)
        scheduler, latents, times = _begin(drawing, noise, start)
        for time in times:
            seen = scheduler.scale_model_input(latents, time)
            predicted = self.noise(torch.cat([seen, seen]), time, both, words=drawing.words)
            without, wanted = predicted.chunk(2)
            slope = without + drawing.guidance * (wanted - without)
            latents = scheduler.step(slope, time, latents).prev_sample
        return latents


def _begin(
    drawing: Drawing, noise: torch.Tensor, start: torch.Tensor | None
) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Scheduler, first latents and the times of all steps.

    DDIM img2img starts, as in CompVis' code, at the noise of the step before the first that is done;
    diffusers' own, which MindEye1 uses with UniPC, at that of the first.
    """
    scheduler = build_scheduler(drawing)
    scheduler.set_timesteps(drawing.steps, device=noise.device)
    times = scheduler.timesteps
    if start is None or drawing.done >= drawing.steps:
        return scheduler, noise * scheduler.init_noise_sigma, times
    first = drawing.steps - drawing.done
    level = first - 1 if drawing.sampler == "ddim" else first
    if drawing.sampler == "unipc":
        scheduler.set_begin_index(first)
    kept = scheduler.alphas_cumprod[times[level].cpu()].to(noise)
    return scheduler, kept.sqrt() * start.to(noise) + (1 - kept).sqrt() * noise, times[first:]


def build_scheduler(drawing: Drawing) -> Any:
    """diffusers' scheduler."""
    from diffusers import DDIMScheduler, UniPCMultistepScheduler

    if drawing.sampler == "unipc":
        return UniPCMultistepScheduler(**NOISE)
    return DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False, steps_offset=1)


def zeros(conditions: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
    """The null of MindEye1 and MindBridge: zeros in place of every condition."""
    return Conditions(*(None if part is None else torch.zeros_like(part) for part in conditions))
