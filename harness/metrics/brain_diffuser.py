"""Brain-Diffuser's own metrics: the protocol of Ozcelik & VanRullen 2023 as its scripts compute it.

Source: ozcelikfu/brain-diffuser 31d52c0, ``scripts/eval_extract_features.py`` and
``scripts/evaluate_reconstruction.py``.  Every image is an 8-bit picture.  PixCorr and SSIM compare at
425 x 425, where reconstructions are brought by Pillow's bicubic filter; every network gets 224 x 224 by
Pillow's bilinear filter; EfficientNet-B1 has torchvision's first weights.

SSIM is another quantity than everybody else's: with scikit-image 0.17 ``multichannel=True`` takes the last
axis of a grey image for its channels, so the similarity of each *column* is computed along one dimension,
and columns are averaged.

Ties count half, where the scripts count them as lost: that is in :mod:`.strict`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..backbones.preprocessing import pictures
from .networks import _Distance, _TwoWay
from .pixel import Prepared, _PixelMetric
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
    found = pictures(images, SIDE, filter="bicubic")
    return {"grey": (found / 255.0 @ np.array(GREY)).astype(np.float32)}


def column_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Mean over columns of the one-dimensional SSIM of two grey images (H, W) in [0, 1].

    Gaussian window of SD 1.5 px cut at 11 taps, population covariance, the 5-px ends left out.
    """
    one, other = one.astype(np.float64), other.astype(np.float64)
    x, y = _down(one), _down(other)
    variances = _down(one * one) - x * x + _down(other * other) - y * y
    covariance = _down(one * other) - x * y
    likeness = (2 * x * y + C1) * (2 * covariance + C2)
    return float((likeness / ((x * x + y * y + C1) * (variances + C2))).mean())


def _down(plane: np.ndarray) -> np.ndarray:
    """Plane (H, W) -> (H - 10, W) Gaussian-weighted mean of 11 values down each column."""
    taps = window_taps()
    return np.lib.stride_tricks.sliding_window_view(plane, len(taps), axis=0) @ taps


class _BrainDiffuser:
    default: ClassVar[bool | str] = False


class PixCorr(_BrainDiffuser, _PixelMetric):
    """Pixel correlation at 425 x 425 after Pillow's bicubic filter."""

    label = "PixCorr (Brain-Diffuser)"

    def prepare(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See :func:`prepare_pixcorr`; 2.2 MB per image."""
        return prepare_pixcorr(images)

    def score(self, result: Prepared, target: Prepared) -> np.ndarray:
        """(n,) float64 correlations."""
        parts = (result["vector"] * target["vector"]).reshape(len(result["vector"]), -1, SIDE)
        return np.clip(parts.sum(axis=2).sum(axis=1, dtype=np.float64), -1.0, 1.0)


class SSIM(_BrainDiffuser, _PixelMetric):
    """Similarity of columns."""

    label = "SSIM of columns (Brain-Diffuser)"

    def prepare(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """See :func:`prepare_ssim`; 0.7 MB per image."""
        return prepare_ssim(images)

    def score(self, result: Prepared, target: Prepared) -> np.ndarray:
        """(n,) float64, see :func:`column_ssim`."""
        return np.array([column_ssim(a, b) for a, b in zip(result["grey"], target["grey"], strict=True)])


class AlexNet2(_BrainDiffuser, _TwoWay):
    """Two-way identification on AlexNet's second convolution."""

    label = "Alex(2) (Brain-Diffuser)"
    backbone: ClassVar[tuple[str, str] | None] = ("alexnet-brain-diffuser", "features.4")


class AlexNet5(_BrainDiffuser, _TwoWay):
    """Two-way identification on AlexNet's fifth convolution."""

    label = "Alex(5) (Brain-Diffuser)"
    backbone: ClassVar[tuple[str, str] | None] = ("alexnet-brain-diffuser", "features.11")


class Inception(_BrainDiffuser, _TwoWay):
    """Two-way identification on Inception v3."""

    label = "Incep (Brain-Diffuser)"
    backbone: ClassVar[tuple[str, str] | None] = ("inception-brain-diffuser", "avgpool")


class Clip(_BrainDiffuser, _TwoWay):
    """Two-way identification on CLIP ViT-L/14."""

    label = "CLIP (Brain-Diffuser)"
    backbone: ClassVar[tuple[str, str] | None] = ("clip-brain-diffuser", "image")


class EfficientNet(_BrainDiffuser, _Distance):
    """Correlation distance on EfficientNet-B1."""

    label = "Eff (Brain-Diffuser)"
    backbone: ClassVar[tuple[str, str] | None] = ("efficientnet-brain-diffuser", "avgpool")


class SwAV(_BrainDiffuser, _Distance):
    """Correlation distance on SwAV's ResNet-50."""

    label = "SwAV (Brain-Diffuser)"
    backbone: ClassVar[tuple[str, str] | None] = ("swav-brain-diffuser", "avgpool")
