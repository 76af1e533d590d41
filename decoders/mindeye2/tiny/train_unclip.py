"""Train the UNet of the small generator on scenes of namespace ``tiny-unclip``.

It learns to remove noise from the VAE latent of a picture given the picture's tokens, at the noise levels
and with the offset noise, size vector and random unconditional tokens that :mod:`..unclip` samples with.
Tokens and latents are of washed-out pictures, as those of the public weights are: what is drawn is
(x - 0.2) / 0.8 in the VAE's range, which :func:`..unclip.to_picture` turns into x.

Needs the VAE (``train_vae``) and ``bigg@tiny``; writes the whole generator.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from harness.backbones.tiny.train_data import DrawnScenes
from harness.backbones.tiny.train_loop import Settings, Task, main

from ...drawing import image_generators
from .. import unclip
from ..checkpoints import read_weights
from ..generator import Generator, load_vae
from ..inference import GeneratorSettings
from .networks import BigGTokens
from .small import GENERATOR
from .train_vae import VAE, pictures

SETTINGS = Settings(
    "unet", "tiny-unclip", seed=103, scenes=24_000, steps=4_500, batch=64, rate=1.5e-3, decay=0.01,
    warmup=200, held_out=300, bfloat16=False, channels_last=False,
)  # fmt: skip
UNET = unclip.UNetSettings(
    channels=32, multipliers=(2, 3), blocks=1, attention_at=(1, 2), depth=(1, 1), head_channels=32,
    token_dim=64, vector_dim=128, latent_channels=VAE.latent_channels,
)  # fmt: skip
LATENT_SCALE = 1.17
"""One over the spread of the training latents, 0.85."""
DRAWING = GeneratorSettings(
    side=8, picture=64, steps=12, guidance=2.0, offset=0.04, latent_scale=LATENT_SCALE
)
UNCONDITIONAL = 0.1
"""Share of training pictures whose tokens are replaced by random ones."""
SNR_LIMIT = 5.0
"""Losses are weighted by min(SNR, 5) / SNR (Hang et al. 2023), which learns faster in few steps."""


class UNetTask(Task):
    """Predict the noise in a latent."""

    def __init__(self) -> None:
        super().__init__()
        self.network = unclip.build_unet(UNET)
        self._levels = unclip.noise_levels().float()
        self._vector = unclip.picture_vector(1, size=DRAWING.picture, width=UNET.vector_dim // 4)
        self._tokens = self._latents = np.empty(0)

    def prepare(self, drawn: DrawnScenes, *, cache: Path) -> None:
        """Tokens (n, 16, 64) and scaled latents (n, 12, 8, 8) of all scenes, float16, kept in `cache`."""
        vae, embedder = trained_vae(), BigGTokens()
        key = hashlib.sha256((file_sha(VAE_FILE) + embedder.identity() + drawn.sha).encode())
        stem = cache / f"unet-{key.hexdigest()[:12]}"
        files = [stem.with_name(f"{stem.name}-{name}.npy") for name in ("tokens", "latents")]
        if not all(file.is_file() for file in files):
            parts: tuple[list, list] = ([], [])
            with torch.inference_mode():
                for start in range(0, len(drawn), 100):
                    x = pictures(drawn, np.arange(start, min(start + 100, len(drawn))))
                    parts[0].append(embedder(x).half().numpy())
                    latent = vae.encode(unwashed(x)).latent_dist.mode() * LATENT_SCALE
                    parts[1].append(latent.half().numpy())
            for file, values in zip(files, parts):
                np.save(file, np.concatenate(values), allow_pickle=False)
        self._tokens, self._latents = (np.load(file, mmap_mode="r", allow_pickle=False) for file in files)

    def loss(self, drawn: DrawnScenes, chosen: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """Weighted squared error of the predicted noise."""
        clean, tokens = (
            torch.from_numpy(values[chosen].astype(np.float32)) for values in (self._latents, self._tokens)
        )
        n = len(clean)
        time = torch.randint(unclip.TRAIN_STEPS, (n,), generator=generator)
        offset = torch.randn(n, 1, 1, 1, generator=generator)
        noise = torch.randn(clean.shape, generator=generator) + DRAWING.offset * offset
        null = torch.randn(tokens.shape, generator=generator)
        tokens = torch.where(torch.rand(n, 1, 1, generator=generator) < UNCONDITIONAL, null, tokens)
        sigma = self._levels[time].view(-1, 1, 1, 1)
        noisy = (clean + sigma * noise) / (sigma**2 + 1).sqrt()
        noise_estimate = self.network(
            noisy, time, encoder_hidden_states=tokens, class_labels=self._vector.expand(n, -1)
        ).sample
        weight = (SNR_LIMIT * sigma**2).clamp(max=1.0)
        return (weight * functional.mse_loss(noise_estimate, noise, reduction="none")).mean()

    def scores(self, held_out: DrawnScenes) -> dict[str, float]:
        """Pictures drawn from true tokens against the scenes; shares are in [0, 1]."""
        return drawing_scores(self.generator(), held_out)

    def generator(self) -> Generator:
        """The generator with the UNet as it is."""
        return Generator(self.network.eval(), trained_vae(), UNET, VAE, DRAWING)


VAE_FILE = GENERATOR / "vae.safetensors"


def trained_vae() -> torch.nn.Module:
    """The VAE that ``train_vae`` wrote."""
    return load_vae({k: v.float() for k, v in read_weights(VAE_FILE).items()}, VAE)


def unwashed(x: torch.Tensor) -> torch.Tensor:
    """Pictures in [0, 1] -> what the VAE must decode to for :func:`..unclip.to_picture` to give them."""
    return (x - 0.2) / 0.8


def file_sha(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def drawing_scores(generator: Generator, scenes: DrawnScenes) -> dict[str, float]:
    """Two-way identification on two scoring networks, PSNR in dB and pixel correlation."""
    from harness.backbones.tiny.alexnet import AlexNetTiny
    from harness.backbones.tiny.clip import ClipTiny
    from harness.metrics.identification import two_way

    embedder, drawings, truth = BigGTokens(), [], []
    for start in range(0, len(scenes), 50):
        chosen = np.arange(start, min(start + 50, len(scenes)))
        x = pictures(scenes, chosen)
        with torch.inference_mode():
            drawn = generator.draw(embedder(x), generators=image_generators(chosen.astype(np.uint64)))
        drawings.append(drawn.permute(0, 2, 3, 1).numpy())
        truth.append(x.permute(0, 2, 3, 1).numpy())
    drawings, truth = np.concatenate(drawings), np.concatenate(truth)
    measures = {"psnr_db": float(np.mean(-10 * np.log10(((drawings - truth) ** 2).mean((1, 2, 3)))))}
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(drawings, truth)]
    measures["pixel_r"] = float(np.mean(correlations))
    for network, layer in ((AlexNetTiny(), "conv5"), (ClipTiny(), "image")):
        network.open(device="cpu")
        sides = (network.extract(images, [layer])[layer] for images in (drawings, truth))
        a, b = (side.reshape(len(drawings), -1) for side in sides)
        measures[f"two_way_{network.name}_{layer}"] = float(two_way(a, b).mean())
    return measures


def build() -> UNetTask:
    """The network to train."""
    return UNetTask()


def assemble(folder: Path) -> None:
    """Write the generator of `folder`'s UNet and the VAE there: sizes, hashes, how it draws."""
    task = build()
    weights = read_weights(folder / "unet.safetensors")
    task.network.load_state_dict({name: value.float() for name, value in weights.items()})
    task.generator().save(folder)


if __name__ == "__main__":
    assemble(main(SETTINGS, build, folder=GENERATOR))
