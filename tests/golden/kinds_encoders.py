"""Checks of networks of encoders: SynBrain, MindSimulator, NeuroFlow, NRF, BraInCoRL, brain transformer."""

from __future__ import annotations

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from golden.pairs import Pair, full_size, tensor
from torch import nn

from harness.encoders.brain_transformer import network as brain_transformer
from harness.encoders.braincorl import network as braincorl
from harness.encoders.braincorl.ridge import averaged_ridge
from harness.encoders.mindsimulator import network as mindsimulator
from harness.encoders.nrf import network as nrf
from harness.encoders.synbrain import network as synbrain
from harness.nn import diffusion_prior, sit
from harness.nn import flow_vae as neuroflow


@torch.no_grad()
def check_brain_vae(pair: Pair) -> None:
    """Posterior, reconstruction and loss terms at the posterior's mean."""
    sizes = pair.option("ddconfig")
    for name, only in (("dropout", 0.0), ("in_channels", 1), ("out_ch", 1), ("attn_resolutions", [])):
        assert sizes[name] == only, name
    assert sizes["num_down_blocks"] == sizes["num_up_blocks"]
    vae = synbrain.BrainVAE(
        channels=sizes["ch"],
        multiples=sizes["ch_mult"],
        blocks=sizes["num_res_blocks"],
        halvings=sizes["num_down_blocks"],
        length=sizes["ada_length"],
        inner=pair.option("linear_dim"),
        tokens=sizes["z_channels"],
        token_dim=pair.option("embed_dim"),
    )
    assert pair.option("hidden_dim") == sizes["ada_length"] // 2 ** sizes["num_down_blocks"]
    pair.load(vae)
    voxels, tokens = pair.tensors("voxels", "clip_tokens")
    assert pair.option("voxels") == voxels.shape[-1]
    pair.require("soft_clip_temperature", synbrain.TEMPERATURE)
    mean, log_variance = vae.encode(voxels)
    pair.compare("posterior_mean", mean)
    pair.compare("posterior_logvar", log_variance)
    terms, reconstruction = vae.terms(voxels, tokens, sample=False)
    pair.compare("reconstruction", reconstruction)
    pair.compare_scalar("recon_loss", terms["reconstruction"])
    pair.compare_scalar("kl_loss", terms["kl"])
    pair.compare_scalar("clip_loss", terms["contrast"])
    weights = pair.option("kl_weight"), pair.option("clip_weight")
    pair.compare_scalar(
        "loss", terms["reconstruction"] + weights[0] * terms["kl"] + weights[1] * terms["contrast"]
    )


@torch.no_grad()
def check_s2n(pair: Pair) -> None:
    """Forward, and the table of positions that training starts from."""
    network = sit.SiT(
        **pair.options(
            tokens="num_patches",
            width="hidden_size",
            depth="depth",
            heads="num_heads",
            ratio="mlp_ratio",
            qk_norm="qk_norm",
        )
    )
    pair.compare("pos_embed_init", network.pos_embed)
    pair.load(network)
    pair.compare("out", network(*pair.tensors("x", "t")))


@torch.no_grad()
def check_mindsimulator(pair: Pair) -> None:
    """Autoencoder, its loss, the estimator, and trials that are averaged in voxel space."""
    tokens, width = pair.option("num_tokens"), pair.option("token_dim")
    autoencoder = mindsimulator.VoxelAutoEncoder(
        pair.option("voxels"),
        **pair.options(width="hidden_dim", blocks="n_blocks", dropout="drop"),
        tokens=tokens,
        token_dim=width,
    )
    pair.load(autoencoder, "autoencoder_state_dict")
    settings = diffusion_prior.PriorSettings(
        token_dim=width,
        tokens=tokens,
        **pair.options(depth="depth", heads="heads", head_size="dim_head", timesteps="timesteps"),
    )
    prior = diffusion_prior.BrainDiffusionPrior(diffusion_prior.PriorNetwork(settings))
    pair.load(prior.net, "prior_network_state_dict")
    voxels, image = pair.tensors("voxels", "image_tokens")
    latent, reconstruction = autoencoder(voxels)
    pair.compare("voxel_latent", latent)
    pair.compare("reconstruction", reconstruction)
    given = tensor(pair.array("latent"))
    pair.compare("decoder_out", autoencoder.voxel_decoder(given))
    terms = autoencoder.terms(voxels, image, temperature=pair.option("soft_clip_temp"))
    pair.compare_scalar("mse_loss", terms["mse"])
    pair.compare_scalar("soft_clip_loss", terms["contrast"])
    schedule = mindsimulator.temperatures(pair.option("schedule_epochs"))
    pair.compare("temperature_schedule", np.float32(schedule), tolerance=1e-8)
    time, every = tensor(pair.array("t")), torch.ones(len(image), dtype=torch.bool)
    how = {"condition": image}
    pair.compare("network_out", prior.net(given, time, **how))
    pair.compare("network_null_out", prior.net(given, time, **how, drop_condition=every, drop_image=every))
    pair.compare("network_out_cond_scale_2", prior.net.guided(given, time, **how, scale=2.0))
    pair.compare("alphas_cumprod", prior.noise_scheduler.alphas_cumprod)
    target = tensor(pair.array("target_latent"))
    noisy = prior.noise_scheduler.add_noise(target, time, tensor(pair.array("loss_noise")))
    pair.compare_scalar("prior_loss_drop0", F.mse_loss(prior.net(noisy, time, **how), target))
    starts, steps = (tensor(pair.array(f"trial_{name}_noise")) for name in ("init", "step"))
    assert len(starts) == pair.option("trials")
    pair.option("batch")
    latents = []
    for start, drawn in zip(starts, steps, strict=True):
        draws = iter((start, *drawn))
        latents.append(prior.sample(image, noise=lambda draws=draws: next(draws), steps=settings.timesteps))
    pair.compare("trial_latents", torch.stack(latents))
    responses = torch.stack([autoencoder.voxel_decoder(sample) for sample in latents])
    pair.compare("trial_voxels", responses)
    pair.compare("predicted_fmri", responses.mean(0))
    draws = itertools.chain([starts[0]], itertools.repeat(torch.zeros_like(given)))
    pair.compare("ddpm_zero_noise", prior.sample(image, noise=lambda: next(draws), steps=settings.timesteps))


@torch.no_grad()
def check_brain_transformer(pair: Pair) -> None:
    """Positions, query tokens, read-outs, sums over regions and loss."""
    pair.require("enc_layers", 0)
    pair.require("pre_norm", 1)
    grid = pair.option("grid_h"), pair.option("grid_w")
    counts = pair.option("lh_vertices"), pair.option("rh_vertices")
    readout = pair.option("readout_res")
    network = brain_transformer.BrainTransformer(
        counts,
        queries=pair.option("num_queries"),
        grid=grid,
        **pair.options(
            width="hidden_dim",
            depth="dec_layers",
            heads="nheads",
            inner="dim_feedforward",
            mapping="encoder_arch",
        ),
        readout=readout,
    )
    pair.load(network)
    tokens = tensor(pair.array("tokens"))
    assert len(tokens) == pair.option("batch")
    pair.compare("pos_embed", network.position)
    asked = network.query_tokens(tokens)
    pair.compare("query_tokens", asked)
    masks = ()
    if readout == "rois_all":
        masks = tuple(tensor(pair.array(f"{side}_rois")) for side in ("lh", "rh"))
    loss = 0
    for side, values, predicted in zip(("lh", "rh"), network.readouts(asked), network(tokens, *masks)):
        pair.compare(f"{side}_readout", values)
        pair.compare(f"{side}_prediction", predicted)
        loss = loss + F.mse_loss(predicted, tensor(pair.array(f"{side}_target")))
    pair.compare_scalar("loss", loss)


@torch.no_grad()
def check_neuro_vae(pair: Pair) -> None:
    """Posterior, compact code, decoding, cycle, loss terms, and a latent with given noise."""
    length = pair.option("latent_dim")
    vae = neuroflow.NeuroVAE(
        pair.option("voxels"),
        inner=pair.option("linear_dim"),
        token_dim=length // 4,
        blocks=pair.option("num_res_blocks"),
    )
    pair.load(vae)
    pair.option("batch")
    voxels, tokens = pair.tensors("voxels", "clip_tokens")
    mean, log_variance, retrieval = vae.encode(voxels)
    pair.compare("posterior_mean", mean)
    pair.compare("posterior_logvar", log_variance)
    pair.compare("retrieval_tokens", retrieval)
    pair.compare("compact_latent", vae.compact(mean))
    pair.compare("decoded_from_compact", vae.decode(tensor(pair.array("compact_input"))))
    pair.compare("generated", vae.generate(tensor(pair.array("latent_input"))))
    reconstruction = vae.generate(mean)
    pair.compare("reconstruction", reconstruction)
    again, _, retrieval_again = vae.encode(reconstruction)
    pair.compare("cycle_latent", again)
    pair.compare("cycle_retrieval_tokens", retrieval_again)
    terms = vae.terms(voxels, tokens, sample=False)
    names = {"reconstruction": "recon", "kl": "kl", "contrast": "clip", "cycle": "cycle"}
    weights = {"recon": 1.0, **{name: pair.option(f"{name}_weight") for name in ("kl", "clip", "cycle")}}
    total = 0
    for own, theirs in names.items():
        pair.compare_scalar(f"{theirs}_loss", terms[own])
        total = total + weights[theirs] * terms[own]
    pair.compare_scalar("loss", total)
    sampled = mean + torch.exp(0.5 * log_variance) * tensor(pair.array("posterior_noise"))
    pair.compare("sampled_latent", sampled)
    pair.compare("sampled_compact_latent", vae.compact(sampled))


@torch.no_grad()
def check_flow(pair: Pair) -> None:
    """Velocity, both paths, and the flow in both directions."""
    network = sit.SiT(
        **pair.options(tokens="num_patches", width="hidden_size", depth="depth", heads="num_heads")
    )
    pair.load(network)
    pair.option("batch")
    latent, image, fmri, time = pair.tensors("latent", "image_latent", "fmri_latent", "t")
    pair.compare("velocity", network(latent, time))
    for path in ("linear", "cosine"):
        place, velocity = neuroflow.point(image, fmri, time, path=path)
        pair.compare(f"z_t_{path}", place)
        pair.compare(f"target_{path}", velocity)
        pair.compare_scalar(f"loss_{path}", F.mse_loss(network(place, time), velocity))
    steps = pair.option("num_steps")
    pair.compare("encoding_euler", neuroflow.travel(network, image, steps=steps))
    pair.compare("decoding_euler", neuroflow.travel(network, fmri, steps=steps, backward=True))
    pair.compare("encoding_heun", neuroflow.travel(network, image, steps=steps, heun=True))


@torch.no_grad()
def check_hyperweights(pair: Pair) -> None:
    """Weights from two lengths of context, predictions, losses, and the ridge behind the target weights."""
    pair.option("w_pred_hidden_dim")  # the authors' module does not use it
    assert pair.option("num_w_pred_layers") == pair.option("num_early_lyr")
    network = braincorl.HyperWeights(
        pair.option("embed_dim"),
        **pair.options(
            width="internal_emb_dim",
            layers="num_tsfm_layers",
            heads="num_heads",
            inner="tsfm_hidden_dim",
            registers="num_reg_tok",
            mlp_layers="num_early_lyr",
            mlp_inner="early_hidden_dim",
        ),
    )
    pair.load(network)
    context, responses = pair.tensors("context_images", "context_responses")
    query, answers, target = pair.tensors("query_images", "query_responses", "ridge_weights_target")
    assert context.shape[:2] == (pair.option("voxels"), pair.option("context"))
    assert query.shape[1] == pair.option("query")
    weights = network(context, responses)
    predicted = braincorl.respond(weights, query)
    pair.compare("voxel_weights", weights)
    pair.compare("prediction", predicted)
    short = pair.option("short_context")
    weights_short = network(context[:, :short], responses[:, :short])
    pair.compare("voxel_weights_short_context", weights_short)
    pair.compare("prediction_short_context", braincorl.respond(weights_short, query))
    pair.compare_scalar("loss_pmse", F.mse_loss(predicted, answers))
    angle = (1 - F.cosine_similarity(weights[:, :-1], target[:, :-1])).mean()
    pair.compare_scalar("loss_monitored", angle + F.mse_loss(weights, target))
    error = answers - predicted
    pair.compare("explained_variance", 1 - error.var(1) / answers.var(1), tolerance=1e-4)
    images = pair.array("ridge_images")
    assert len(images) == pair.option("ridge_num_images")
    ridge = averaged_ridge(
        images,
        pair.array("ridge_responses").T,
        penalties=pair.option("ridge_lambdas"),
        folds=pair.option("ridge_folds"),
    )
    pair.compare("ridge_weights", ridge, tolerance=1e-4)


@torch.no_grad()
def check_field(pair: Pair) -> None:
    """Fourier features, merged features, predictions, losses, correlations."""
    patches = pair.option("num_patches") ** 2
    merger = nrf.FeatureMerger(patches, pair.option("patch_dim"), pair.option("downsample_dim"))
    pair.load(merger, "feature_merger_state_dict")
    assert pair.option("latent_in") == []
    frequencies = pair.option("num_features")
    matrix = nrf.fourier_matrix(frequencies, pair.option("fourier_std"))
    pair.compare("fourier_matrix", matrix, tolerance=0.0)
    image_dim = pair.option("image_embed_dim")
    given = 2 * pair.option("downsample_dim") + image_dim + 2 * frequencies
    field = nrf.FieldMLP(given, width=pair.option("hidden_layer_dim"), layers=pair.option("num_layers"))
    pair.load(field, "encoder_state_dict")
    early, embeds, places, measured = pair.tensors("early_features", "image_embeds", "coordinates", "targets")
    assert measured.shape == (pair.option("batch"), pair.option("voxels"))
    waves = nrf.fourier_features(places, tensor(matrix))
    pair.compare("positional_features", waves)
    merged = merger(early[:, 0], early[:, 1])
    pair.compare("merged_early", merged)
    predicted = field(torch.cat([merged, embeds], dim=-1), waves)
    pair.compare("prediction", predicted)
    terms = nrf.losses(predicted, measured)
    pair.compare_scalar("loss_combine", sum(terms.values()))
    pair.compare_scalar("loss_mse", F.mse_loss(predicted, measured))
    x, y = predicted - predicted.mean(0), measured - measured.mean(0)
    r = (x * y).sum(0) / torch.sqrt((x**2).sum(0) * (y**2).sum(0))
    pair.compare("voxel_correlation", r, tolerance=1e-4)


CHECKS = {
    "BrainVAE": check_brain_vae,
    "SiT (S2N mapper)": check_s2n,
    "MindSimulator VoxelAutoEncoder+PriorNetwork+BrainDiffusionPrior": check_mindsimulator,
    "Transformer brain encoder (query decoder on backbone tokens)": check_brain_transformer,
    "NeuroFlow NeuroVAE_P": check_neuro_vae,
    "NeuroFlow SiT flow (XFM)": check_flow,
    "BraInCoRL hyperweights predictor": check_hyperweights,
    "NRF Feature_merger+NRF_Encoder": check_field,
}


def estimator() -> nn.Module:
    settings = diffusion_prior.PriorSettings(
        token_dim=768, tokens=257, heads=mindsimulator.heads_of(768), head_size=48
    )
    network = nn.Module()
    network.net = diffusion_prior.PriorNetwork(settings)
    return network


KEY_LISTS = {
    "full_synbrain_vae_keys": full_size(synbrain.BrainVAE),
    "full_mindsimulator_ae_keys": full_size(lambda: mindsimulator.VoxelAutoEncoder(15724)),
    "full_mindsimulator_estimator_keys": full_size(estimator),
    "full_transformer_brain_encoder_keys": full_size(
        lambda: brain_transformer.BrainTransformer((19004, 20544), queries=50, grid=(31, 31))
    ),
    "full_neuroflow_vae_keys": full_size(lambda: neuroflow.NeuroVAE(15724)),
    "full_neuroflow_xfm_keys": full_size(lambda: sit.SiT(tokens=256, width=1664, depth=12, heads=13)),
    "full_braincorl_clip_keys": full_size(lambda: braincorl.HyperWeights(512)),
    "full_nrf_encoder_keys": full_size(lambda: nrf.FieldMLP(1600)),
    "full_nrf_feature_merger_keys": full_size(lambda: nrf.FeatureMerger(196, 768, 512)),
}
