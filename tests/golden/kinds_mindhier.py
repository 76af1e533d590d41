"""Checks of MindHier's encoder, Switti's transformer and VQ-VAE, and of their key lists at full size."""

from __future__ import annotations

import numpy as np
import torch
from golden.pairs import Pair, full_size, tensor

from harness.decoders.mindhier import encoder, transformer, vqvae


@torch.no_grad()
def check_encoder(pair: Pair) -> None:
    """Every level, image and text embedding."""
    pair.option("full_size_hidden")
    settings = encoder.EncoderSettings(
        **pair.options(
            width="d_model",
            heads="heads",
            voxel_tokens="fmri_tokens",
            image_tokens="image_tokens",
            text_tokens="text_tokens",
            levels="layers",
        ),
        hidden=tuple(pair.option("hidden")),
    )
    network = encoder.HierarchicalEncoder(pair.option("voxels"), settings)
    pair.load(network)
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
        **pair.options(depth="depth", width="embed_dim", heads="num_heads", codes="V", code_channels="Cvae"),
        sides=tuple(pair.option("patch_nums")),
        context_width=pair.option("context_dim"),
        pooled_width=pair.option("pooled_embed_size"),
        pooler="text_pooler",
        **pair.options(crop_condition="use_crop_cond", rope_size="rope_size", rope_theta="rope_theta"),
    )
    network = transformer.ScaleTransformer(settings)
    pair.load(network)
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
        **pair.options(blocks="num_res_blocks", share="quant_resi", refiners="share_quant_resi", beta="beta"),
    )
    network = vqvae.VQVAE(settings)
    pair.load(network)
    features = network.features(tensor(pair.array("image")))
    pair.compare("features", features)
    result = network.quantize(features)
    pair.compare("indices", result.codes)
    pair.compare("fhat_per_scale", torch.stack(result.running))
    pair.compare("vq_loss", result.loss, tolerance=1e-6 * float(np.abs(pair.array("vq_loss")).max()))
    pair.compare("reconstruction", network.picture(network.quantize.sums(result.codes)[-1]))
    pair.compare("teacher_forcing_input", network.quantize.next_inputs(result.codes))


CHECKS = {
    "MindHier hierarchical fMRI encoder": check_encoder,
    "Switti": check_transformer,
    "VQVAE (Switti/VAR multi-scale residual)": check_vqvae,
}

KEY_LISTS = {
    # The fMRI encoder of subject 1.
    "full_mindhier_encoder_keys": full_size(
        lambda: encoder.HierarchicalEncoder(15724, encoder.EncoderSettings())
    ),
    # At 512 pixels, with text.
    "full_switti_keys": full_size(
        lambda: transformer.ScaleTransformer(
            transformer.TransformerSettings(
                context_width=2048, pooled_width=1280, pooler="text_pooler", crop_condition=True
            )
        )
    ),
    "full_switti_vqvae_keys": full_size(lambda: vqvae.VQVAE(vqvae.VqVaeSettings())),
}
