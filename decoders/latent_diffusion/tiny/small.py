"""The small painter: MindEye2's small generator in the place of Stable and of Versatile Diffusion.

One UNet reads image tokens; words reach it as the image tokens that they call for (:mod:`.words`), through
the same transformers.  It was trained against random tokens as its null, so these stand for every paper's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch

from harness.backbones.images import resized
from harness.backbones.tiny.backbone import MEAN, SD, SIDE, read_weights
from harness.backbones.tiny.networks.clip import word_numbers
from harness.decoders.mindeye2.generator import Generator
from harness.decoders.mindeye2.given_files import read_record
from harness.decoders.mindeye2.tiny.networks import BigGTokens
from harness.decoders.mindeye2.tiny.small import GENERATOR
from harness.decoders.mindeye2.unclip import picture_vector, to_picture

from ...drawing import draws
from ..conditions import Conditions
from ..dual import UNetNoise, attends_to_both
from ..painter import Painter
from .words import CaptionTokens, text_states

FOLDER = Path(__file__).resolve().parent
WORDS = FOLDER / "words.safetensors"
IMAGE_NORM, WORD_NORM = 9.5765, 8.0719
"""Norm of image tokens and of text states, over 200 scenes; tokens of the painter have norm one, as Versatile
Diffusion's conditions have."""


def painter() -> Painter:
    """Everything from the files of this project."""
    generator, embedder, reader = Generator.load(GENERATOR), BigGTokens(), CaptionTokens()
    reader.load_state_dict(read_weights(WORDS))
    reader.eval().requires_grad_(False)
    unet = attends_to_both(generator.unet)
    settings, sizes = generator.settings, generator.unet_settings

    def vector(latents: torch.Tensor) -> dict[str, torch.Tensor]:
        labels = picture_vector(len(latents), size=settings.picture, width=sizes.vector_dim // 4)
        return {"class_labels": labels.to(latents)}

    def read(conditions: Conditions) -> Conditions:
        image, words = conditions
        return Conditions(
            None if image is None else IMAGE_NORM * image,
            None if words is None else reader(WORD_NORM * words),
        )

    return Painter(
        noise=UNetNoise(unet, vector),
        null=random_tokens,
        prepared=read,
        renormed=lambda tokens: tokens / tokens.square().sum(-1, keepdim=True).mean(1, keepdim=True).sqrt(),
        image_tokens=lambda images: embedder(images) / IMAGE_NORM,
        word_tokens=lambda captions: text_states(embedder.network, captions) / WORD_NORM,
        image_vector=lambda images: embedder.network((resized(images, SIDE) - MEAN) / SD)["image"],
        word_vector=lambda captions: embedder.network.text(torch.from_numpy(word_numbers(captions))),
        vae=generator.vae,
        latent_scale=settings.latent_scale,
        side=settings.side,
        picture=settings.picture,
        modules=(unet, generator.vae, embedder, reader),
        identity=fingerprint(),
        into=lambda x: (x - 0.2) / 0.8,
        out_of=to_picture,
    )


def random_tokens(conditions: Conditions, generators: Sequence[torch.Generator]) -> Conditions:
    """Standard normal tokens for either condition."""
    return Conditions(
        *(None if part is None else draws(generators, tuple(part.shape[1:])) for part in conditions)
    )


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Identity of all weights."""
    total = hashlib.sha256(BigGTokens().identity().encode())
    total.update(repr(sorted(read_record(GENERATOR)["sha256"].items())).encode())
    total.update(WORDS.read_bytes())
    return total.hexdigest()
