"""Versatile Diffusion, Stable Diffusion and CLIP in the published layout, random and small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from harness.decoders.latent_diffusion import public
from harness.decoders.latent_diffusion.clip_tokens import ClipSizes
from harness.decoders.mindeye2.generator import VaeSettings, build_vae

SIZES = public.PublicSizes(
    channels=(16, 16, 16, 16),
    blocks=1,
    heads=2,
    norm_groups=8,
    side=8,
    vae=VaeSettings(channels=(8, 8, 8, 8), blocks=1, norm_groups=4),
    clip=ClipSizes(
        width=16,
        layers=1,
        heads=2,
        patch=14,
        side=28,
        text_width=16,
        text_layers=1,
        text_heads=2,
        projected=16,
    ),
)


@dataclass
class Parts:
    """The networks behind the files."""

    image_unet: Any
    text_unet: Any
    vae: Any
    clip: Any


def build() -> Parts:
    """Random networks of :data:`SIZES`."""
    from diffusers import UNet2DConditionModel
    from diffusers.pipelines.deprecated.versatile_diffusion.modeling_text_unet import UNetFlatConditionModel
    from transformers import CLIPConfig, CLIPModel

    config = public.unet_config(SIZES)
    flat = {
        name: tuple(kind.replace("2D", "Flat") for kind in config[name])
        for name in ("down_block_types", "up_block_types")
    }
    s = SIZES.clip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        clip = CLIPModel(
            CLIPConfig(
                vision_config={
                    "hidden_size": s.width, "intermediate_size": 4 * s.width, "num_hidden_layers": s.layers,
                    "num_attention_heads": s.heads, "patch_size": s.patch, "image_size": s.side,
                },
                text_config={
                    "hidden_size": s.text_width, "intermediate_size": 4 * s.text_width,
                    "num_hidden_layers": s.text_layers, "num_attention_heads": s.text_heads,
                    "eos_token_id": s.vocabulary - 1, "bos_token_id": s.vocabulary - 2,
                },
                projection_dim=s.projected,
            )
        )  # fmt: skip
        for value in clip.parameters():  # transformers starts so near to zero that nothing would differ
            torch.nn.init.normal_(value, std=0.2)
        return Parts(
            UNet2DConditionModel(**config).eval(),
            UNetFlatConditionModel(**{**config, **flat}).eval(),
            build_vae(SIZES.vae).eval(),
            clip.eval(),
        )


def write(parts: Parts, folder, keep) -> None:
    """Put the files where ``harness prefetch`` would."""
    from safetensors.torch import save_file

    for name, network in (
        ("vd-image-unet", parts.image_unet),
        ("vd-text-unet", parts.text_unet),
        ("vd-vae", parts.vae),
    ):
        torch.save(network.state_dict(), folder / f"{name}.bin")
        keep(name, folder / f"{name}.bin")
    for name, network in (("sd14-unet", parts.image_unet), ("sd14-vae", parts.vae), ("clip", parts.clip)):
        state = {key: value.contiguous().clone() for key, value in network.state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")
        keep(name, folder / f"{name}.safetensors")
