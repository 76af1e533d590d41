"""Every setting of CHASMBrain in one place.

Values that the paper states are its own (CLS and 256 patch tokens, 30 voxels a cluster, top 70 %,
150 epochs, batches of 32 and 16, a latent of 256).  The text that is public has lost its learning
rates, loss weights and sizes; those here were chosen so that Stage 1 has the published 14.6 million
parameters and 2.31 G multiply-accumulates, or by custom where nothing is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from harness.api import ConfigError, check_ranges

_COUNTS = (
    *("cluster_size", "state", "convolution", "expand", "head_width", "width", "global_depth"),
    *("local_depth", "attention_heads", "contrastive_width", "refine_width", "encoder_depth"),
    *("decoder_depth", "queries", "readout_width", "latent", "diffusion_steps", "stage1_epochs"),
    *("stage2_epochs", "transfer_epochs", "patience"),
)
_WEIGHTS = (
    *("pearson_weight", "contrastive_weight", "kl_weight", "refine_pearson_weight", "weight_decay"),
    *("kl_warmup", "warmup_epochs", "sample_temperature", "position_sd"),
)
_RATES = ("stage1_rate", "stage2_rate", "final_rate", "transfer_rate")
RANGES = {
    **dict.fromkeys(_COUNTS, (1, math.inf)),
    **dict.fromkeys(_WEIGHTS, (0, math.inf)),
    **dict.fromkeys(_RATES, (1e-12, 1)),
    "temperature": (1e-6, math.inf),
    "clip": (1e-6, math.inf),
    "dropout": (0, 0.99),
    "stage2_batch": (2, math.inf),
}
"""Least and most of numbers."""

Intervention = Literal["both", "where", "what", "swap", "shuffled"]


@dataclass(frozen=True)
class ChasmParams:
    """What is trained on what.

    backbone, cls_layer, patch_layer : features (N, D) and (N, P, D').
    train_on : image means, or single trials.
    cluster_by : runs of neighbouring voxels in the vector (``raster``), k-means over coordinates or
        over coordinates and noise-ceiling SNR, or the ROIs of the space that begin with
        `parcel_prefix` (an atlas; voxels of none are cut into runs).
    cluster_size : voxels per cluster; floor(V / cluster_size) clusters.
    topk, topk_mode : share of a cluster's voxels that make its target, the largest ``value`` or
        ``abs`` of each sample, a ``fixed_ncsnr`` subset, or all (``mean``).
    state, convolution, expand, head_width : of every Mamba-2 layer.
    stage1_arch : two streams, one stack over [CLS; patches], or a transformer over the same.
    width, global_depth, local_depth : tokens' width and layers; one stack has `local_depth`.
    cls_sequence : CLS as one token, 16 tokens, or one token per feature.
    scan : patches in raster order, or both directions averaged.
    gate : a pair of weights per image, or a pair per image and cluster.
    position_sd : of the position codes of patches at the start; content has about 0.6 there, and codes far
        below it are learned too late for a mean over patches to know where anything is.
    pearson_axis : correlation across clusters within an image, across the batch within a cluster.
    stage2_refiner : ``mlp``; both decoders (``dual``); with diffusion of the residual, or with the
        variational latent.
    refine_width, encoder_depth, decoder_depth, queries, readout_width : of Stage 2; the queries
        reach voxels through a map of rank `readout_width`.
    holistic_read : where the holistic decoder's queries stand: ``appended`` after all tokens (the paper),
        ``spread`` evenly among them, or read by cross-``attention`` of the queries to the tokens in place of
        a scan (a deviation).  holistic_scan : one direction (the paper's Mamba), or both averaged.
    residual_maps : one last map for all clusters, or one per cluster.
    precision : of products in training; weights, scans and losses stay float32.
    validation : share of training images held out for early stopping; never test images.
    weights : those of the best validation epoch, or the last.
    latent_samples : draw the latent from each image's seeds; else its mean.
    intervention : at prediction only, on the same weights: patch stream or CLS stream alone, inputs
        swapped, patches in random order.
    predicts : ``clusters`` gives every voxel what Stage 1 alone predicts for its cluster.
    """

    backbone: str = "dinov2"
    cls_layer: str = "cls"
    patch_layer: str = "patches"
    train_on: Literal["means", "trials"] = "means"

    cluster_by: Literal["raster", "kmeans_xyz", "kmeans_ncsnr", "parcels"] = "raster"
    cluster_size: int = 30
    parcel_prefix: str = "schaefer"
    topk: float = 0.7
    topk_mode: Literal["value", "abs", "fixed_ncsnr", "mean"] = "value"

    state: int = 128
    convolution: int = 4
    expand: int = 2
    head_width: int = 64

    stage1_arch: Literal["dual_mamba", "single_mamba", "transformer"] = "dual_mamba"
    width: int = 512
    global_depth: int = 2
    local_depth: int = 5
    attention_heads: int = 8
    cls_sequence: Literal["single", "chunk16", "scalar"] = "single"
    scan: Literal["raster", "bidirectional"] = "raster"
    gate: Literal["image", "cluster"] = "image"
    position_sd: float = 1.0
    contrastive_width: int = 256
    dropout: float = 0.1
    pearson_weight: float = 0.5
    pearson_axis: Literal["sample", "cluster"] = "sample"
    contrastive_weight: float = 0.1
    temperature: float = 0.07
    stage1_epochs: int = 150
    stage1_batch: int = 32
    stage1_rate: float = 1e-4

    stage2_refiner: Literal["mlp", "dual", "dual_diff", "dual_vae"] = "dual_vae"
    refine_width: int = 256
    encoder_depth: int = 4
    decoder_depth: int = 2
    queries: int = 16
    holistic_read: Literal["appended", "spread", "attention"] = "appended"
    holistic_scan: Literal["causal", "bidirectional"] = "causal"
    readout_width: int = 512
    residual_maps: Literal["shared", "cluster"] = "shared"
    latent: int = 256
    kl_weight: float = 1e-3
    kl_warmup: int = 20
    refine_pearson_weight: float = 0.0
    diffusion_steps: int = 100
    stage2_epochs: int = 150
    stage2_batch: int = 16
    stage2_rate: float = 1e-4

    weight_decay: float = 0.01
    final_rate: float = 1e-6
    warmup_epochs: int = 5
    clip: float = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    validation: float = 0.05
    patience: int = 30
    weights: Literal["best", "last"] = "best"

    latent_samples: bool = False
    sample_temperature: float = 1.0
    intervention: Intervention = field(default="both", metadata={"fit": False})
    predicts: Literal["voxels", "clusters"] = field(default="voxels", metadata={"fit": False})

    transfer_epochs: int = 30
    transfer_rate: float = 1e-3

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, section="encoder")
        if self.stage1_batch < 2:
            raise ConfigError("encoder.stage1_batch must be at least 2: the contrast needs other images")
        for name in ("topk", "validation"):
            if not 0 < getattr(self, name) <= (1 if name == "topk" else 0.5):
                upper = "1" if name == "topk" else "0.5"
                raise ConfigError(
                    f"encoder.{name} is {getattr(self, name)}; expected a share above 0, at most {upper}"
                )
        for name, width in (("width", self.width), ("refine_width", self.refine_width)):
            if self.expand * width % self.head_width:
                raise ConfigError(
                    f"encoder.{name} is {width}: times expand ({self.expand}) it must be a multiple of "
                    f"head_width; type --set encoder.head_width={self.expand * width // 2}"
                )
        if self.stage1_arch == "transformer" and self.width % self.attention_heads:
            raise ConfigError(
                f"encoder.width is {self.width}; it must be a multiple of attention_heads "
                f"({self.attention_heads})"
            )
        if self.intervention != "both" and self.stage1_arch != "dual_mamba":
            raise ConfigError(
                f"encoder.intervention={self.intervention} needs two streams; "
                "type --set encoder.stage1_arch=dual_mamba"
            )
        if self.latent_samples and self.stage2_refiner != "dual_vae":
            raise ConfigError(
                "encoder.latent_samples needs the variational latent; "
                "type --set encoder.stage2_refiner=dual_vae"
            )


def is_stochastic(params: ChasmParams) -> bool:
    """Whether a model with `params` draws anything at prediction."""
    return params.latent_samples or params.stage2_refiner == "dual_diff"
