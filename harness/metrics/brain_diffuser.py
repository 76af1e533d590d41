"""Brain-Diffuser's own metrics: the protocol of Ozcelik & VanRullen 2023 as its scripts compute it.

Source: ozcelikfu/brain-diffuser 31d52c0, ``scripts/eval_extract_features.py`` and
``scripts/evaluate_reconstruction.py``.  Every image is an 8-bit picture.  PixCorr and SSIM compare at
425 x 425, where reconstructions are brought by Pillow's bicubic filter; every network gets 224 x 224 by
Pillow's bilinear filter; EfficientNet-B1 has torchvision's first weights.

SSIM is another quantity than everybody else's: with scikit-image 0.17 ``multichannel=True`` takes the last
axis of a grey image for its channels, so the similarity of each *column* is computed along one dimension,
and columns are averaged.

Ties count half, where the scripts count them as lost: that is in the ``-strict`` rows (:mod:`.catalogue`).
"""

from __future__ import annotations

import numpy as np

from ..backbones.preprocessing import pictures
from .pixel import Prepared
from .pixel_families import C1, C2, CONTRAST_FLOOR, GREY, window_taps

SIDE = 425


def prepare_pixcorr(images: np.ndarray) -> dict[str, np.ndarray]:
    """``vector`` (n, 3 * 425 * 425) float32 of unit norm around 0; zeros for a constant image."""
    vectors = np.empty((len(images), 3 * SIDE * SIDE), np.float32)
    for k, image in enumerate(pictures(images, SIDE, filter="bicubic")):
        values = image.reshape(-1) / 255.0
        values -= values.mean()
        norm = np.linalg.norm(values)
        vectors[k] = 0 if norm < CONTRAST_FLOOR * np.sqrt(values.size) else values / norm
    return {"vector": vectors}


def prepare_ssim(images: np.ndarray) -> dict[str, np.ndarray]:
    """``grey`` (n, 425, 425) float32 in [0, 1]."""
    resized = pictures(images, SIDE, filter="bicubic")
    return {"grey": (resized / 255.0 @ np.array(GREY)).astype(np.float32)}


def column_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over columns of the one-dimensional SSIM of two grey images (H, W) in [0, 1].

    Gaussian window of SD 1.5 px cut at 11 taps, population covariance, the 5-px ends left out.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    x, y = _down(first), _down(second)
    variances = _down(first * first) - x * x + _down(second * second) - y * y
    covariance = _down(first * second) - x * y
    likeness = (2 * x * y + C1) * (2 * covariance + C2)
    return float((likeness / ((x * x + y * y + C1) * (variances + C2))).mean())


def _down(plane: np.ndarray) -> np.ndarray:
    """Plane (H, W) -> (H - 10, W) Gaussian-weighted mean of 11 values down each column."""
    taps = window_taps()
    return np.lib.stride_tricks.sliding_window_view(plane, len(taps), axis=0) @ taps


def pixcorr(result: Prepared, target: Prepared) -> np.ndarray:
    """(n,) float64 correlation of image k of `result` with image k of `target`."""
    parts = (result["vector"] * target["vector"]).reshape(len(result["vector"]), -1, SIDE)
    return np.clip(parts.sum(axis=2).sum(axis=1, dtype=np.float64), -1.0, 1.0)


def ssim(result: Prepared, target: Prepared) -> np.ndarray:
    """(n,) float64, see :func:`column_ssim`."""
    return np.array([column_ssim(a, b) for a, b in zip(result["grey"], target["grey"], strict=True)])
