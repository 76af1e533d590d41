"""Checks of MindEye1, Brain-Diffuser, Takagi-Nishimoto and MindBridge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from golden.pairs import CheckFailed, Pair, full_size, tensor

from harness.decoders.brain_diffuser import mixture, vdvae
from harness.decoders.brain_diffuser.regression import RescaledRidge
from harness.decoders.files import load_exactly
from harness.decoders.mindbridge import network as mindbridge
from harness.decoders.mindeye1 import low_level, network
from harness.decoders.mindeye2 import losses, mixing, schedule
from harness.decoders.takagi.regression import ScaledRidge
from harness.nn import contrast


def cut(flat: np.ndarray, shapes: list[tuple[int, ...]], *, skip: int = 0):
    """A noise function that hands out `flat` (B, n) block by block, from block `skip` on."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    place = [sum(sizes[:skip])]

    def noise(shape: tuple[int, ...]) -> torch.Tensor:
        size = int(np.prod(shape[1:]))
        part = flat[:, place[0] : place[0] + size]
        place[0] += size
        return tensor(part).reshape(shape)

    return noise


@torch.no_grad()
def check_vdvae(pair: Pair) -> None:
    """Posterior, decoding from the first latents, mixture, sample and bound."""
    pair.require("image_channels", 3)
    pair.require("custom_width_str", "")
    pair.require("dataset", "imagenet64")
    settings = vdvae.VdvaeSettings(
        **pair.options(
            side="image_size",
            width="width",
            bottleneck="bottleneck_multiple",
            zdim="zdim",
            mixtures="num_mixtures",
            encoder="enc_blocks",
            decoder="dec_blocks",
            bias_up_to="no_bias_above",
        )
    )
    network = vdvae.Vdvae(settings)
    pair.load(network)
    pair.option("batch")
    x, target = tensor(pair.array("image")).permute(0, 3, 1, 2), tensor(pair.array("image_target"))
    given = pair.array("latent_noise")
    shapes = settings.latent_shapes()
    latents, divergence, _ = network.posterior(x, torch.zeros)
    pair.compare("latents_zero_noise", vdvae.joined(latents))
    pair.compare("kl_per_block", divergence)
    latents, _, _ = network.posterior(x, cut(given, shapes))
    pair.compare("latents_given_noise", vdvae.joined(latents))

    blocks = pair.option("num_latents")
    first = network.split(tensor(pair.array("predicted_latents")))
    features = network.decode(first, torch.zeros)
    pair.compare("decoder_features_zero_noise", features)
    pair.compare("decoder_features_given_noise", network.decode(first, cut(given, shapes, skip=blocks)))
    head = network.decoder.out_net
    pair.compare("mixture_parameters", head(features))
    drawn = head.sample(features, *pair.tensors("uniform_mixture", "uniform_pixel"))
    pair.compare("image_sample", drawn)
    pair.compare("image_uint8", mixture.to_uint8(drawn), tolerance=1)
    for name, value in zip(("elbo", "distortion", "rate"), network.bound(x, target, cut(given, shapes))):
        pair.compare(name, value, tolerance=1e-4)


@torch.no_grad()
def check_mindeye1(pair: Pair) -> None:
    """Tokens, prior and its scale, sampling, MixCo and the losses."""
    pair.require("clip_size", 768)
    pair.require("batch", 3)
    settings = network.NetworkSettings(
        **pair.options(
            hidden="h",
            blocks="n_blocks",
            tokens="num_tokens",
            projected="projector_hidden",
            depth="depth",
            heads="heads",
            head_size="dim_head",
            timesteps="timesteps",
        )
    )
    whole = network.MindEye1Network(pair.option("voxels"), settings)
    pair.load(whole)
    pair.compare("image_embed_scale", whole.embed_scale, tolerance=1e-6)
    voxels = tensor(pair.array("voxels"))
    output = whole.voxel2clip(voxels)
    pair.compare("clip_voxels", output.tokens)
    pair.compare("clip_voxels_proj", output.projected)

    brain, noisy, time = pair.tensors("brain_tokens", "noisy_tokens", "t")
    pair.compare("network_out", whole.net(noisy, time, condition=brain))
    start = tensor(pair.array("init_noise"))
    draws = iter([start])
    sampled = whole.sample(brain, noise=lambda: next(draws, torch.zeros_like(start)))
    # A hundred steps amplify rounding: float64 arithmetic is 2.2e-4 SD away from the record, and another
    # number of threads as much from this.
    pair.compare("ddpm_zero_noise", sampled, tolerance=1e-3 * float(sampled.std()))
    step_noise = tensor(pair.array("step_noise"))
    for step in pair.option("p_sample_t"):
        value = whole.reverse_step(noisy, brain, step, noise=lambda: step_noise, guidance=1.0)
        pair.compare(f"p_sample_t{step}", value)
    target = tensor(pair.array("clip_target"))
    loss, predicted = whole.prior_loss(target, brain, time=time, noise=tensor(pair.array("loss_noise")))
    pair.compare("prior_loss_drop0", loss, tolerance=1e-5)
    pair.compare("prior_pred_scaled", predicted)

    chosen = tensor(pair.array("mixco_select")).bool()
    raw = tensor(pair.array("mixco_raw_betas"))
    mixture_of = mixing.Mixture(tensor(pair.array("mixco_perm")), torch.where(chosen, raw, 1.0), chosen)
    for name, recorded in (("perm", mixture_of.partner), ("select", chosen.long())):
        if pair.option(name) != recorded.tolist():
            raise CheckFailed(f"{pair.name}: config.{name} is not the recorded array")
    pair.compare("mixco_betas", mixture_of.weight)
    pair.compare("mixed_voxels", mixing.mix(voxels, mixture_of))
    ours, theirs = contrast.unit_rows(output.projected), contrast.unit_rows(target)
    mixed = losses.bimixco_loss(ours, theirs, mixture_of, faithful=True)
    pair.compare("mixco_nce_loss", mixed, tolerance=1e-5)
    plain = mixing.Mixture(torch.arange(3), torch.ones(3), torch.zeros(3, dtype=torch.bool))
    pair.compare("nce_loss_no_mix", losses.bimixco_loss(ours, theirs, plain), tolerance=1e-5)
    soft = contrast.soft_clip_loss(ours, theirs, temperature=pair.option("soft_clip_temp"))
    pair.compare("soft_clip_loss", soft, tolerance=1e-5)
    epochs = pair.option("schedule_epochs")
    rises = [schedule.soft_temperature(epoch, epochs, share=0.0) for epoch in range(epochs)]
    pair.compare("temperature_schedule", rises, tolerance=1e-7)


@torch.no_grad()
def check_mindeye1_low_level(pair: Pair) -> None:
    """Latents with and without the head, its tokens, and the contrastive loss."""
    pair.require("ups_mode", "4x")
    settings = low_level.LowLevelSettings(hidden=pair.option("h"), blocks=pair.option("n_blocks"))
    pair.require("use_cont", True)
    pair.option("batch")
    states = {name: tensor(value) for name, value in pair.fill().items()}
    own = low_level.LowLevelNetwork(pair.option("voxels"), settings)
    load_exactly(own, low_level.low_level_state(states), what=pair.name)
    own.eval()
    voxels = tensor(pair.array("voxels"))
    latents, tokens = own(voxels)
    pair.compare("latents", latents)
    pair.compare("maps_every_16th_token", tokens[:, ::16])
    bare = low_level.LowLevelNetwork(voxels.shape[1], replace(settings, contrast_dim=0))
    kept = {k: v for k, v in own.state_dict().items() if not k.startswith("maps_projector.")}
    load_exactly(bare, kept, what=pair.name)
    pair.compare("latents_only", bare.eval()(voxels)[0][..., ::8, ::8])
    rows = pair.tensors("student", "teacher", "teacher_aug")
    pair.compare("soft_cont_loss", low_level.contrast_loss(*rows), tolerance=1e-5)


@torch.no_grad()
def check_mindbridge(pair: Pair) -> None:
    """Pooling, predictions, reconstruction, cycle, one subject alone, every loss term and the total."""
    settings = mindbridge.NetworkSettings(
        **pair.options(
            pooled="pool_num",
            bottleneck="adapter_bottleneck",
            hidden="h",
            blocks="n_blocks",
            image_tokens="image_tokens",
            text_tokens="text_tokens",
            token_dim="token_dim",
        )
    )
    subjects = pair.option("subj_list")
    pair.option("voxels")
    batch = pair.option("batch_per_subject")
    whole = mindbridge.MindBridgeNetwork(subjects, settings)
    pair.load(whole)
    raw = [tensor(pair.array(f"raw_subj{k}")) for k in subjects]
    pools = {
        kind: torch.cat([mindbridge.pool(responses, settings.pooled, kind=kind) for responses in raw])
        for kind in ("max", "avg", "resize")
    }
    for kind, values in pools.items():
        pair.compare(f"pooled_{kind}", values)
    pooled = pools[pair.option("pool_type")]
    parts = dict(zip(subjects, pooled.split(batch), strict=True))
    shared = {k: whole.embed(part, k) for k, part in parts.items()}
    output = whole.translate(torch.cat(list(shared.values())))
    rebuilt = torch.cat([whole.build(shared[k], k) for k in subjects])
    pair.compare("image_pred", output.image)
    pair.compare("text_pred", output.text)
    pair.compare("voxel_rec", rebuilt)
    source, target = pair.option("cycle_pair")
    cycle = whole.cycle_loss(shared[source], target)
    pair.compare("cycle_loss", cycle, tolerance=1e-5)
    pair.compare("cycle_loss_adapting", whole.cycle_loss(shared[subjects[0]], subjects[-1]), tolerance=1e-5)

    alone = mindbridge.MindBridgeNetwork([pair.option("single_subject")], settings)
    own = {k: v for k, v in whole.state_dict().items() if k in alone.state_dict()}
    load_exactly(alone, own, what=pair.name)
    single = alone.eval()(tensor(pair.array("single_voxels")), pair.option("single_subject"))
    pair.compare("single_image_pred", single.image)
    pair.compare("single_text_pred", single.text)

    terms = mindbridge.token_losses(output, *pair.tensors("clip_image", "clip_text"))
    terms |= {"reconstruction": torch.nn.functional.mse_loss(rebuilt, pooled), "cycle": cycle}
    for name, ours in (
        ("clip_image", "clip_image"),
        ("mse_image", "mse_image"),
        ("clip_text", "clip_text"),
        ("mse_text", "mse_text"),
        ("rec", "reconstruction"),
        ("cyc", "cycle"),
    ):
        pair.compare(f"loss_{name}", terms[ours], tolerance=1e-4)
    weights = mindbridge.LossWeights(
        pair.option("mse_mult"), pair.option("rec_mult"), pair.option("cyc_mult")
    )
    pair.compare("loss_total", mindbridge.total_loss(terms, weights), tolerance=1e-2)


def check_brain_diffuser(pair: Pair) -> None:
    """Ridge weights and rescaled predictions of latents and of both token sets."""
    for name in ("train", "test", "voxels", "latents", "tokens", "width"):
        pair.option(name)
    train, test = (pair.array(f"{part}_fmri") / 300 for part in ("train", "test"))
    for targets, prediction, weight in (
        ("latents", "latents", "vdvae"),
        ("tokens", "cliptext", "cliptext"),
        ("tokens", "clipvision", "clipvision"),
    ):
        y = pair.array(f"train_{targets}")
        pair.array(f"test_{targets}")
        ridge = RescaledRidge.fit(train, y.reshape(len(y), -1), penalty=pair.option(f"alpha_{weight}"))
        predicted = ridge.calibrated(test).predict(test)
        pair.compare(f"pred_{prediction}", predicted.reshape(len(test), *y.shape[1:]))
        shape = y.shape[1:]
        pair.compare(f"{weight}_weight", ridge.weights.T.reshape(*shape, -1))
        pair.compare(f"{weight}_bias", ridge.bias.reshape(shape))


def check_takagi(pair: Pair) -> None:
    """Decoded latents, c, and the third target from both areas together."""
    for name in ("trials", "test", "voxels_early", "voxels_ventral", "dim_latent", "dim_c", "dim_blip"):
        pair.option(name)
    voxels = {
        area: (pair.array(f"{area}_train_trials"), pair.array(f"{area}_test_mean"))
        for area in ("early", "ventral")
    }
    voxels["both"] = tuple(np.concatenate(parts, 1) for parts in zip(*voxels.values()))
    small = tuple(10.0**power for power in range(-6, 1))
    for name, area, penalties in (
        ("init_latent", "early", small),
        ("c", "ventral", small),
        ("blip", "both", (10_000.0, 20_000.0, 40_000.0)),
    ):
        train, test = voxels[area]
        pair.array(f"{name}_test")
        ridge = ScaledRidge.fit(train, pair.array(f"{name}_train"), penalties=penalties)
        pair.compare(f"decoded_{name}", ridge.predict(test))


CHECKS = {
    "VDVAE (Brain-Diffuser copy)": check_vdvae,
    "MindEye1 BrainNetwork+VersatileDiffusionPriorNetwork+BrainDiffusionPrior": check_mindeye1,
    "MindEye1 Voxel2StableDiffusionModel": check_mindeye1_low_level,
    "MindBridge": check_mindbridge,
    "Brain-Diffuser regression scripts": check_brain_diffuser,
    "Takagi-Nishimoto ridge script": check_takagi,
}
KEY_LISTS = {
    "full_vdvae_keys": full_size(lambda: vdvae.Vdvae(vdvae.VdvaeSettings())),
    "full_mindeye1_keys": full_size(lambda: network.MindEye1Network(15724, network.NetworkSettings())),
    "full_mindeye1_lowlevel_keys": full_size(
        lambda: low_level.LowLevelNetwork(15724, low_level.LowLevelSettings()), low_level.low_level_state
    ),
    "full_mindbridge_keys": full_size(
        lambda: mindbridge.MindBridgeNetwork([1, 2, 5], mindbridge.NetworkSettings())
    ),
}
