"""Checks of MindHier's encoder, Switti's transformer and VQ-VAE, and of their key lists at full size."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from golden.kinds_mindeye2 import load, shapes_of, tensor
from golden.pairs import Pair, same_names

from harness.decoders.mindhier import encoder, transformer, vqvae


@torch.no_grad()
def check_encoder(pair: Pair) -> None:
    """Every level, image and text embedding."""
    pair.option("full_size_hidden")
    settings = encoder.EncoderSettings(
        width=pair.option("d_model"),
        heads=pair.option("heads"),
        voxel_tokens=pair.option("fmri_tokens"),
        image_tokens=pair.option("image_tokens"),
        text_tokens=pair.option("text_tokens"),
        levels=pair.option("layers"),
        hidden=tuple(pair.option("hidden")),
    )
    network = encoder.HierarchicalEncoder(pair.option("voxels"), settings)
    load(pair, network)
    output = network(tensor(pair.array("voxels")))
    pair.compare("hierarchy", torch.stack(output.levels))
    pair.compare("image_embedding", output.image)
    pair.compare("text_embedding", output.text)


@torch.no_grad()
def check_transformer(pair: Pair) -> None:
    """Teacher-forced logits under padded context and crop condition."""
    pair.require("use_ar", False)
    pair.require("use_swiglu_ffn", True)
    pair.require("rope", True)
    pair.require("crop_condition_order", "original height, original width, crop top, crop left")
    settings = transformer.TransformerSettings(
        depth=pair.option("depth"),
        width=pair.option("embed_dim"),
        heads=pair.option("num_heads"),
        codes=pair.option("V"),
        code_channels=pair.option("Cvae"),
        sides=tuple(pair.option("patch_nums")),
        context_width=pair.option("context_dim"),
        pooled_width=pair.option("pooled_embed_size"),
        pooler="text_pooler",
        crop_condition=pair.option("use_crop_cond"),
        rope_size=pair.option("rope_size"),
        rope_theta=pair.option("rope_theta"),
    )
    network = transformer.ScaleTransformer(settings)
    load(pair, network)
    bias = tensor(pair.array("context_attn_bias"))[:, None, None]
    logits = network(
        tensor(pair.array("teacher_forcing_input")),
        tensor(pair.array("pooled")),
        [tensor(pair.array("context"))],
        crop=tensor(pair.array("crop_condition")),
        context_bias=bias,
    )
    pair.compare("logits", logits)


@torch.no_grad()
def check_vqvae(pair: Pair) -> None:
    """Features, codes, running sums, picture, teacher-forcing input, loss."""
    pair.require("quant_conv_ks", 3)
    settings = vqvae.VqVaeSettings(
        codes=pair.option("vocab_size"),
        code_channels=pair.option("z_channels"),
        sides=tuple(pair.option("v_patch_nums")),
        channels=pair.option("ch"),
        multipliers=tuple(pair.option("ch_mult")),
        blocks=pair.option("num_res_blocks"),
        share=pair.option("quant_resi"),
        refiners=pair.option("share_quant_resi"),
        beta=pair.option("beta"),
    )
    network = vqvae.VQVAE(settings)
    load(pair, network)
    features = network.features(tensor(pair.array("image")))
    pair.compare("features", features)
    result = network.quantize(features)
    pair.compare("indices", result.codes)
    pair.compare("fhat_per_scale", torch.stack(result.running))
    pair.compare("vq_loss", result.loss, tolerance=1e-6 * float(np.abs(pair.array("vq_loss")).max()))
    pair.compare("reconstruction", network.picture(network.quantize.sums(result.codes)[-1]))
    pair.compare("teacher_forcing_input", network.quantize.next_inputs(result.codes))


def check_full_encoder(name: str, recorded: Mapping[str, tuple[int, ...]]) -> None:
    """The fMRI encoder at full size, subject 1."""
    with torch.device("meta"):
        network = encoder.HierarchicalEncoder(15724, encoder.EncoderSettings())
    same_names(name, recorded, shapes_of(network))


def check_full_transformer(name: str, recorded: Mapping[str, tuple[int, ...]]) -> None:
    """Switti at 512 pixels with text."""
    with torch.device("meta"):
        network = transformer.ScaleTransformer(
            transformer.TransformerSettings(
                context_width=2048, pooled_width=1280, pooler="text_pooler", crop_condition=True
            )
        )
    same_names(name, recorded, shapes_of(network))


def check_full_vqvae(name: str, recorded: Mapping[str, tuple[int, ...]]) -> None:
    """Switti's VQ-VAE at full size."""
    with torch.device("meta"):
        network = vqvae.VQVAE(vqvae.VqVaeSettings())
    same_names(name, recorded, shapes_of(network))


CHECKS = {
    "MindHier hierarchical fMRI encoder": check_encoder,
    "Switti": check_transformer,
    "VQVAE (Switti/VAR multi-scale residual)": check_vqvae,
}

KEY_LISTS = {
    "full_mindhier_encoder_keys": check_full_encoder,
    "full_switti_keys": check_full_transformer,
    "full_switti_vqvae_keys": check_full_vqvae,
}
