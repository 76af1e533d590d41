"""Checks of the recorded image and voxel metrics."""

from __future__ import annotations

import functools

import numpy as np
from golden.pairs import METRIC_TOLERANCE, Pair

from harness.metrics import encoding, identification, pixel
from harness.metrics.resize import resize, unit_range

NETWORKS = {  # per-channel mean and SD of the network's input
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def check_functions(pair: Pair) -> None:
    """The bare functions, straight to 425 px with antialiasing."""
    compare = functools.partial(pair.compare, tolerance=METRIC_TOLERANCE)
    recon, truth = pair.images("recon"), pair.images("gt")
    family = pixel.Family("straight", sizes=(425,), antialias=True)
    sides = [pixel.prepare_pixcorr(images, family) for images in (recon, truth)]
    compare("pixcorr", pixel.pixcorr(*sides).mean())
    sides = [pixel.prepare_ssim(images, family) for images in (recon, truth)]
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
    metrics = {
        "antialias_false": (pixel.PixCorr(), pixel.SSIM()),
        "antialias_true": (pixel.PixCorrV2(), pixel.SSIMV2()),
    }
    for setting, (correlation, similarity) in metrics.items():
        for name, metric in (("pixcorr", correlation), ("ssim", similarity)):
            values = metric.score(metric.prepare(recon), metric.prepare(truth))
            compare(f"{setting}.{name}_per_image", values)
            compare(f"{setting}.{name}", values.mean())

    small = resize(unit_range(recon[:1]), (256, 256), antialias=False)
    sizes = {"alexnet": 256, "inception": 342, "clip": 224, "efficientnet": 255, "swav": 224}
    for network, size in sizes.items():
        pair.compare(f"input_{network}_size", [size, size], tolerance=0)
        mean, spread = NETWORKS.get(network, NETWORKS["imagenet"])
        whole = (resize(small, (size, size), antialias=False)[0] - mean) / spread
        corner = (size - 16) // 2
        centre = whole[corner : corner + 16, corner : corner + 16]
        compare(f"input_{network}_centre16_image0", np.moveaxis(centre, -1, 0))


CHECKS = {
    "evaluation functions of MindEye2 / SynBrain": check_functions,
    "image metrics, whole path": check_whole_path,
}
