"""Checks of the recorded image and voxel metrics."""

from __future__ import annotations

import functools
from unittest import mock

import numpy as np
import torch
from golden.pairs import METRIC_TOLERANCE, Pair

from harness import plugins
from harness.backbones.catalogue import PREPROCESSING
from harness.metrics import encoding, identification, pixel

NETWORKS = ("alexnet", "inception", "clip", "efficientnet", "swav")
THREADS = (1, 2)  # runs compute with one, where torch's own kernel gives other digits


def check_functions(pair: Pair) -> None:
    """The bare functions, straight to 425 px with antialiasing."""
    compare = functools.partial(pair.compare, tolerance=METRIC_TOLERANCE)
    recon, truth = pair.images("recon"), pair.images("gt")
    straight = {"straight": pixel.Family("straight", sizes=(425,), antialias=True)}
    with mock.patch.dict(pixel.FAMILIES, straight):
        sides = [pixel.prepare_pixcorr(images, family="straight") for images in (recon, truth)]
        compare("pixcorr", pixel.pixcorr(*sides).mean())
        sides = [pixel.prepare_ssim(images, family="straight") for images in (recon, truth)]
        compare("ssim", pixel.ssim(*sides).mean())

    features = pair.array("feat_recon"), pair.array("feat_gt")
    wins = identification.two_way(*features, strict=True)
    pair.compare("two_way_counts", np.rint(wins * (len(wins) - 1)), tolerance=0)
    compare("two_way", wins.mean())
    compare("correlation_distance", identification.correlation_distance(*features).mean())

    measured = pair.array("measured_fmri")
    predicted = np.broadcast_to(pair.array("pred_fmri"), measured.shape).reshape(-1, measured.shape[-1])
    measured = measured.reshape(predicted.shape)
    for name, value in (
        ("MSE", encoding.voxel_mse(predicted, measured).mean()),
        ("Pearson", encoding.pattern_r(predicted, measured).mean()),
        ("Cosine", encoding.pattern_cosine(predicted, measured).mean()),
        ("CKA", encoding.synbrain_cka(predicted, measured)),
    ):
        compare(f"synbrain_voxel.{name}", value)


def check_whole_path(pair: Pair) -> None:
    """224-px stimuli and 512-px reconstructions through 256 px, both families, and network inputs."""
    compare = functools.partial(pair.compare, tolerance=METRIC_TOLERANCE)
    recon, truth = pair.images("recon"), pair.images("gt")
    for setting, suffix in (("antialias_false", ""), ("antialias_true", "-v2")):
        for name in ("pixcorr", "ssim"):
            metric = plugins.find("metrics", f"{name}{suffix}").load()
            values = metric.function()(*(metric.function("prepare")(images) for images in (recon, truth)))
            compare(f"{setting}.{name}_per_image", values)
            compare(f"{setting}.{name}", values.mean())

    for network in NETWORKS:
        for threads in THREADS:
            x = network_input(f"{network}-v1", recon[:1], threads=threads)
            size = x.shape[-1]
            pair.compare(f"input_{network}_size", x.shape[-2:], tolerance=0)
            corner = (size - 16) // 2
            centre = x[0, :, corner : corner + 16, corner : corner + 16]
            compare(f"input_{network}_centre16_image0", centre)


def network_input(backbone: str, images: np.ndarray, *, threads: int) -> np.ndarray:
    """(n, 3, side, side) what `backbone` gives its network in a run, computed with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return PREPROCESSING[backbone].apply(images).numpy()
    finally:
        torch.set_num_threads(before)


CHECKS = {
    "evaluation functions of MindEye2 / SynBrain": check_functions,
    "image metrics, whole path": check_whole_path,
}
