"""Checks of MindEye2's networks and samplers, and of its key lists at full size."""

from __future__ import annotations

import torch
from golden.pairs import CheckFailed, Pair, full_size, same_names, shapes_of, tensor

from harness.decoders.files import load_exactly
from harness.decoders.mindeye2 import backbone, model, unclip, unclip_keys
from harness.nn import diffusion_prior as prior


@torch.no_grad()
def check_backbone(pair: Pair) -> None:
    """All heads, with the inert mixer halves skipped and not skipped."""
    width = pair.option("clip_size")
    settings = backbone.BackboneSettings(
        **pair.options(hidden="h", sequence="seq_len", blocks="n_blocks"),
        dropout=pair.option("drop", 0.15),
        token_dim=width,
        tokens=pair.option("out_dim") // width,
        low_level=pair.option("blurry_recon"),
    )
    network = backbone.BrainNetwork(settings)
    pair.load(network)
    x = tensor(pair.array("x"))
    for network.skip_inert in (True, False):
        output = network(x)
        pair.compare("backbone", output.tokens)
        pair.compare("clip_voxels", output.retrieval)
        if settings.low_level:
            pair.compare("blurry_latent", output.latents)
            pair.compare("blurry_aux", output.auxiliary)


def check_prior(pair: Pair) -> None:
    """Network, schedule and both samplers, every noise draw after the first zero."""
    for name in ("training_clamp_l2norm", "sampling_clamp_l2norm", "sampling_final_clamp_l2norm"):
        pair.require(name, False)
    pair.require("init_image_embed_l2norm", False)
    pair.require("predict_x_start", True)
    pair.require("causal", False)
    pair.option("image_embed_scale", None)  # stored by the original, applied nowhere without clamping
    settings = prior.PriorSettings(
        **pair.options(
            token_dim="dim",
            tokens="num_tokens",
            depth="depth",
            heads="heads",
            head_size="dim_head",
            timesteps="timesteps",
            query="learned_query_mode",
        )
    )
    guidance = float(pair.option("cond_scale"))
    whole = prior.BrainDiffusionPrior(prior.PriorNetwork(settings))
    pair.load(whole.net, "prior_network_state_dict")
    full = pair.shapes("diffusion_prior_state_dict")
    same_names(f"{pair.name} diffusion_prior_state_dict", full, shapes_of(whole))
    pair.compare("alphas_cumprod", whole.noise_scheduler.alphas_cumprod)

    image, brain, time = pair.tensors("image", "brain", "t")
    with torch.no_grad():
        pair.compare("network_out", whole.net(image, time, condition=brain))
    start = tensor(pair.array("init_noise"))
    for name, steps in (
        ("ddim_zero_noise", pair.option("ddim_timesteps")),
        ("ddpm_zero_noise", settings.timesteps),
    ):
        draws = iter([start])
        noise = lambda draws=draws: next(draws, torch.zeros_like(start))  # noqa: E731
        pair.compare(name, whole.sample(brain, noise=noise, steps=steps, guidance=guidance))


def check_unclip(pair: Pair) -> None:
    """UNet in the original layout, sigmas, guided Euler sampling, size vector."""
    pair.require("use_linear_in_transformer", True)
    settings = unclip.UNetSettings(
        channels=pair.option("model_channels"),
        multipliers=tuple(pair.option("channel_mult")),
        blocks=pair.option("num_res_blocks"),
        attention_at=tuple(pair.option("attention_resolutions")),
        depth=tuple(pair.option("transformer_depth")),
        **pair.options(
            head_channels="num_head_channels", token_dim="context_dim", vector_dim="adm_in_channels"
        ),
    )
    network = unclip.build_unet(settings)
    prefix = pair.record["key_prefix_in_checkpoint"]
    weights = {f"{prefix}{name}": values for name, values in pair.fill().items()}
    if constructed := [name for name, values in weights.items() if values is None]:
        raise CheckFailed(f"{pair.name}: '{constructed[0]}' is constructed; the UNet has no such tensor")
    state = unclip_keys.unet_state(
        {name: tensor(values) for name, values in weights.items()}, unclip.diffusers_config(settings)
    )
    load_exactly(network, state, what=pair.name)
    network.eval()

    tokens, without, vector = pair.tensors("context", "uncond_context", "vector")
    with torch.no_grad():
        pair.compare(
            "eps",
            network(
                tensor(pair.array("latent")),
                tensor(pair.array("timesteps")),
                encoder_hidden_states=tokens,
                class_labels=vector,
            ).sample,
        )
    steps = pair.option("num_steps")
    sigmas = unclip.euler_steps(steps)[1]
    pair.compare("sigmas", sigmas)
    sizes = tensor(pair.array("original_size"))
    crop = "crop_coords_top_left"
    corner = tensor(pair.array(crop)) if pair.has(crop) else torch.zeros_like(sizes)
    pair.compare(
        "vector_suffix", unclip.size_vector(torch.cat([sizes, corner], 1), width=vector.shape[1] // 4)
    )
    # The original sampler is given its start divided by this factor and multiplies it back.
    start = tensor(pair.array("noised_latent")) * torch.sqrt(1 + sigmas[0] ** 2)
    sampled = unclip.sample_latent(
        network,
        start,
        tokens=tokens,
        unconditional=without,
        vector=vector,
        steps=steps,
        guidance=pair.option("cfg_scale"),
    )
    pair.compare("sampled_latent", sampled)


def unet_state(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The released UNet's tensors by their names here."""
    if stray := [key for key in weights if not key.startswith(unclip_keys.UNET_PREFIX)]:
        raise CheckFailed(f"'{stray[0]}' lies outside {unclip_keys.UNET_PREFIX}")
    return unclip_keys.unet_state(weights, unclip.diffusers_config(unclip.UNetSettings()))


CHECKS = {
    "BrainNetwork": check_backbone,
    "PriorNetwork+BrainDiffusionPrior": check_prior,
    "sgm UNetModel (unCLIP SDXL) + EulerEDMSampler + VanillaCFG": check_unclip,
}

KEY_LISTS = {
    # The whole trained part, of subject 1.
    "full_mindeye2_keys": full_size(lambda: model.MindEye2Network([15724], model.ModelSettings())),
    "full_unclip6_unet_keys": full_size(lambda: unclip.build_unet(unclip.UNetSettings()), unet_state),
}
