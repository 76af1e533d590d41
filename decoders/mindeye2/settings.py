"""How the decoder is fitted, decodes and refines; no network is imported to say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.api import ConfigError

from . import schedule

if TYPE_CHECKING:
    import torch

LATENT_SCALE = 0.13025
"""Factor between the SDXL VAE's latents and those the UNet sees."""

TRAIN_STEPS = 1000


@dataclass(frozen=True)
class LossWeights:
    """Factors of the terms; the defaults are those of the released models."""

    prior: float = 30.0
    retrieval: float = 1.0
    low_level: float = 0.5
    contrast: float = 0.1  # within the low-level term


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted; the defaults are those of the released models on one device.

    epochs, batch : `batch` samples per subject and step; 24 to fine-tune, 6 to pretrain on seven.
    samples_per_epoch : trials drawn per epoch over all subjects, 750 times the number of sessions
        in the paper; 0 takes the number of trials.
    learning_rate, decay, mixco_share, drop : see :mod:`.schedule`, :mod:`.losses`,
        :mod:`harness.nn.diffusion_prior`.
    precision : ``bfloat16`` runs the networks under autocast (the authors used float16).
    checkpoint_every : steps between checkpoints; 0 for a 20th of the fit, but at most 1,000.
    faithful : keep the public code's slips (:mod:`.mixing`).
    """

    epochs: int = 150
    batch: int = 24
    samples_per_epoch: int = 0
    learning_rate: float = schedule.LEARNING_RATE
    decay: float = schedule.WEIGHT_DECAY
    mixco_share: float = schedule.MIXCO_SHARE
    drop: float = 0.2
    precision: str = "float32"
    checkpoint_every: int = 0
    faithful: bool = False
    weights: LossWeights = field(default_factory=LossWeights)

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch", 1), ("checkpoint_every", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"mindeye2 {name} is {getattr(self, name)}; it must be at least {least}")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigError(f"mindeye2 precision is {self.precision!r}; choose float32 or bfloat16")


@dataclass(frozen=True)
class DecodeSettings:
    """How it is fitted and decodes; the defaults are those of the paper.

    fit : of the subject's training.
    prior_steps : of the diffusion prior; below its 100 training steps it is DDIM.
    candidates : pictures drawn per image.
    blend : share of the blurry image that is mixed in before scoring; 0.25 in the published scores.
    memory : GB of the device that weights and work may take, 0 for what is free; it changes no number.
    """

    fit: FitSettings = field(default_factory=FitSettings)
    prior_steps: int = 20
    candidates: int = 1
    blend: float = 0.25
    memory: float = 0.0

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ConfigError(f"decoder.candidates is {self.candidates}; it must be at least 1")
        if not 0 <= self.blend <= 1:
            raise ConfigError(f"decoder.blend is {self.blend}; expected 0 to 1, published 0.25")


@dataclass(frozen=True)
class RefineSettings:
    """How a picture is refined; the defaults are those of the public notebook.

    picture, target : pixels of the picture, and of the target that SDXL is told.
    seen : pixels that the picture had been reduced to before; the released one was stored so.
    steps, strength, guidance : of the Euler sampler; the last ``int(steps * strength)`` steps are done.
    latent_scale : of the VAE.
    """

    picture: int = 768
    target: int = 1024
    seen: int = 256
    steps: int = 25
    strength: float = 0.48
    guidance: float = 5.0
    latent_scale: float = LATENT_SCALE

    def __post_init__(self) -> None:
        if not 1 <= self.steps < TRAIN_STEPS:
            raise ConfigError(
                f"decoder.refine_steps is {self.steps}; expected 1 to {TRAIN_STEPS - 1}, published 25"
            )
        if not 0 < self.strength <= 1 or int(self.steps * self.strength) < 1:
            raise ConfigError(
                f"decoder.refine_strength is {self.strength} of {self.steps} steps; expected at most 1 and "
                "at least one step, published 0.48"
            )

    def schedule(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Time steps that are done, and their sigmas with the last, 0."""
        from .unclip import euler_steps

        times, sigmas = euler_steps(self.steps)
        first = self.steps - int(self.steps * self.strength)
        return times[first:], sigmas[first:]
