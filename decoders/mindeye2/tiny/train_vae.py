"""Train the VAE of the small generator on scenes of namespace ``tiny-vae``.

An autoencoder of Stable Diffusion's class (Rombach et al. 2022; diffusers' ``AutoencoderKL``), without
its adversarial and perceptual losses: at this size the squared error decides.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from harness.backbones.tiny.train_data import DrawnScenes
from harness.backbones.tiny.train_loop import Settings, Task, main, planes_of

from ..generator import VaeSettings, build_vae
from ..unclip import washed_out

FOLDER = Path(__file__).resolve().parent
SETTINGS = Settings(
    "vae", "tiny-vae", seed=101, scenes=24_000, steps=2_800, batch=32, decay=0.0, channels_last=False
)
VAE = VaeSettings(channels=(16, 32, 64, 64), blocks=1, latent_channels=12, norm_groups=8)
KL_WEIGHT = 2e-4
"""Of the mean divergence from a standard normal per latent value: it keeps latents near unit size."""
WASHED = 0.3
"""Share of training images in [0.5, 1], as the generator draws them."""


def pictures(drawn: DrawnScenes, chosen: np.ndarray) -> torch.Tensor:
    """(n, 3, 64, 64) in [0, 1]."""
    return planes_of(drawn, chosen) * 0.25 + 0.5


class VaeTask(Task):
    """Encode, draw a latent, decode."""

    def __init__(self) -> None:
        super().__init__()
        self.network = build_vae(VAE)

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Squared error of the picture in [-1, 1], and the divergence of its latent."""
        x = pictures(drawn, chosen)
        washed = torch.rand(len(x), 1, 1, 1, generator=generator) < WASHED
        x = 2 * torch.where(washed, washed_out(x), x) - 1
        posterior = self.network.encode(x).latent_dist
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        noise = torch.randn(mean.shape, generator=generator)
        rendered = self.network.decode(mean + (0.5 * logvar).exp() * noise).sample.float()
        divergence = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).mean()
        return (rendered - x).square().mean() + KL_WEIGHT * divergence

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """Mean PSNR in dB of decoded pictures in [0, 1], clipped; mean and spread of latents."""
        errors, latents = [], []
        for start in range(0, len(held_out), 100):
            x = pictures(held_out, np.arange(start, min(start + 100, len(held_out))))
            latent = self.network.encode(2 * x - 1).latent_dist.mode()
            rendered = (self.network.decode(latent).sample / 2 + 0.5).clamp(0, 1)
            errors.append((rendered - x).square().flatten(1).mean(1))
            latents.append(latent)
        latent = torch.cat(latents)
        return {
            "psnr_db": (-10 * torch.cat(errors).log10()).mean(),
            "latent_mean": latent.mean(),
            "latent_sd": latent.std(),
        }


def build() -> VaeTask:
    """The network to train."""
    return VaeTask()


if __name__ == "__main__":
    main(SETTINGS, build, folder=FOLDER)
