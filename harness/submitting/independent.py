"""Scores of a submission's images and responses by other code than the harness's own.

Images are resized by torch's kernels, SSIM is scikit-image's, correlations are numpy's; nothing of
``harness.metrics`` is called.  Differences come from float32 arithmetic in another order.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

SIDES = (256, 425)
"""Pixels that both images are resized through, for PixCorr and SSIM of either family."""

WITHIN = {"pixcorr": 1e-4, "ssim": 2e-4, "voxel-r": 1e-4, "pattern-r": 1e-4, "voxel-mse": 1e-4}
"""How far a value may lie from the independent one: the resizings of torch and of the harness differ by up to
2e-6 a pixel, which flat regions of SSIM enlarge."""

WITHIN |= {"pixcorr-v2": WITHIN["pixcorr"], "ssim-v2": WITHIN["ssim"]}


@dataclass(frozen=True)
class Again:
    """A value computed again: of a metric without its version, for an image or a voxel."""

    metric: str
    item: str | int
    value: float


def of_images(
    images: Mapping[str, np.ndarray], references: Mapping[str, np.ndarray], metrics: frozenset[str]
) -> Iterator[Again]:
    """PixCorr and SSIM of each of `images` with what it is compared with, by id; (H, W, 3) each."""
    for family, antialias in (("", False), ("-v2", True)):
        wanted = {name for name in ("pixcorr", "ssim") if f"{name}{family}" in metrics}
        for name, image in images.items() if wanted else ():
            result, target = (through_sides(each, antialias=antialias) for each in (image, references[name]))
            if "pixcorr" in wanted:
                yield Again(f"pixcorr{family}", name, correlation(result.ravel(), target.ravel()))
            if "ssim" in wanted:
                yield Again(f"ssim{family}", name, similarity(result, target))


def of_responses(
    predicted: np.ndarray,
    measured: np.ndarray,
    voxels: np.ndarray,
    ids: tuple[str, ...],
    metrics: frozenset[str],
    *,
    baseline: np.ndarray | None,
) -> Iterator[Again]:
    """Voxel r and squared error by voxel; pattern r by image where the voxels are all that are scored.

    predicted, measured : (N, U) of the U `voxels` and the images `ids`, measured as means over repeats.
    baseline : (U,) mean response to the training images, which patterns are taken from; None where there are
        other voxels besides.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a voxel that does not vary has no correlation
        if "voxel-r" in metrics:
            for k, voxel in enumerate(voxels.tolist()):
                yield Again("voxel-r", voxel, correlation(predicted[:, k], measured[:, k]))
        if "voxel-mse" in metrics:
            errors = np.mean((predicted.astype(np.float64) - measured) ** 2, axis=0)
            for voxel, error in zip(voxels.tolist(), errors.tolist()):
                yield Again("voxel-mse", voxel, error)
        if "pattern-r" in metrics and baseline is not None:
            for k, name in enumerate(ids):
                yield Again("pattern-r", name, correlation(predicted[k] - baseline, measured[k] - baseline))


def through_sides(image: np.ndarray, *, antialias: bool) -> np.ndarray:
    """(H, W, 3), uint8 or float in [0, 1] -> (425, 425, 3) float32 through 256 x 256, bilinear."""
    import torch

    unit = image.astype(np.float32) / np.float32(255) if image.dtype == np.uint8 else image.astype(np.float32)
    planes = torch.from_numpy(np.ascontiguousarray(unit)).permute(2, 0, 1)[None]
    for side in SIDES:
        if planes.shape[-2:] != (side, side):
            planes = torch.nn.functional.interpolate(
                planes, (side, side), mode="bilinear", align_corners=False, antialias=antialias
            )
    return planes[0].permute(1, 2, 0).numpy()


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r; 0 where either does not vary."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    if np.ptp(first) < 1e-7 or np.ptp(second) < 1e-7:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """SSIM of the grey images, by scikit-image with the arguments of the field's notebook."""
    from skimage.color import rgb2gray
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            rgb2gray(first),
            rgb2gray(second),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
    )
