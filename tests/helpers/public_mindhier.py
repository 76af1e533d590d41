"""Files of MindHier in the public layout, small, and a subject to fit on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from public_mindeye2 import subject
from safetensors.torch import save_file

from harness.decoders.mindhier import core, params, public
from harness.decoders.mindhier.encoder import EncoderSettings
from harness.decoders.mindhier.transformer import ScaleTransformer, TransformerSettings
from harness.decoders.mindhier.vqvae import VQVAE, VqVaeSettings

__all__ = ["QUICK", "SIZES", "SWITTI", "decoder", "subject", "write_public_folder"]

SIDES = (1, 2, 4)
SIZES = public.PublicSizes(
    EncoderSettings(
        width=8, heads=2, voxel_tokens=3, image_tokens=5, text_tokens=7, levels=2, hidden=(12, 10)
    ),
    TransformerSettings(
        depth=2, width=16, heads=2, codes=20, code_channels=4, sides=SIDES, context_width=8, pooled_width=8
    ),
    VqVaeSettings(
        codes=20, code_channels=4, sides=SIDES, channels=8, multipliers=(1, 1, 2), blocks=1, norm_groups=4
    ),
)
SWITTI = dataclasses.replace(
    SIZES.transformer, context_width=18, pooled_width=11, pooler="text_pooler", crop_condition=True
)
"""What the transformer starts from: Switti reads text and has a crop condition."""
CLIP = {
    "projection_dim": 8,
    "vision_config": {
        "hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 6, "num_attention_heads": 2,
        "image_size": 16, "patch_size": 8, "projection_dim": 8,
    },
    "text_config": {
        "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "vocab_size": 30, "max_position_embeddings": 7, "projection_dim": 8, "eos_token_id": 29,
    },
}  # fmt: skip
QUICK = {
    "encoder_steps": 6, "encoder_batch": 8, "encoder_rate": 1e-3, "transformer_steps": 4,
    "transformer_batch": 6, "transformer_rate": 1e-3, "warmup": 2, "precision": "float32", "crop": 1.0,
    "guidance": 1.5, "top_k": 10,
}  # fmt: skip


def write_public_folder(folder: Path) -> Path:
    """CLIP, VQ-VAE and Switti with weights at random."""
    from transformers import CLIPConfig, CLIPModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clip, vqvae, switti = CLIPModel(CLIPConfig(**CLIP)), VQVAE(SIZES.vqvae), ScaleTransformer(SWITTI)
        switti.start(gate=0.3)
    for name in (public.CLIP, public.VQVAE, public.SWITTI):
        file = folder / name
        (file if name == public.CLIP else file.parent).mkdir(parents=True)
    (folder / public.CLIP / "config.json").write_text(json.dumps(CLIP))
    save_file(_plain(clip), folder / public.CLIP / "model.safetensors")
    save_file(_plain(vqvae), folder / public.VQVAE)
    save_file(_plain(switti), folder / public.SWITTI)
    return folder


def decoder(folder: Path, **given) -> core.MindHierCore:
    """The decoder with the small files of `folder`."""
    own = params.MindHierParams(weights=str(folder), **{**QUICK, **given})
    return core.MindHierCore(
        lambda: public.parts(own, SIZES), own.fitting(), own.sampling(), candidates=own.candidates
    )


def _plain(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone().contiguous() for name, value in module.state_dict().items()}
