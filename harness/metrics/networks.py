"""The field's network metrics on this project's small networks: slots under ``@tiny`` names.

A slot keeps its definition (Ozcelik & VanRullen 2023, Table 1; MindEye2's final evaluations) and
changes the network, so another number comes out and the name says so: ``clip@tiny`` is two-way
identification on ``clip@tiny``'s image embedding, and comparable with nothing but itself.

* two-way identification: early and late convolutions of the AlexNet slot, the pooled layer of the
  Inception slot, the embedding of the CLIP slot, the class token of the DINOv2 slot;
* correlation distance, lower is better: the EfficientNet and SwAV slots;
* cosine similarity: CLIP and DINOv2;
* 100-way identification on CLIP, since two-way saturates.

On by default on simulated benchmarks only: small networks trained on drawn scenes judge nothing else.
Cosines, which have no chance level, are off unless asked for.
"""

from __future__ import annotations

import copy
from typing import ClassVar, Self

import numpy as np

from .identification import _Identification, correlation_distance


def cosine_similarity(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) cosine of each row pair of (N, D), in float64; 0 where a row is zero."""
    first, second = (np.asarray(rows, np.float64) for rows in (result, target))
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = np.einsum("nd,nd->n", first, second)
    with np.errstate(invalid="ignore"):  # infinity over infinity, NaN below
        values = np.divide(products, norms, out=np.zeros(len(first)), where=norms > 0)
    return np.where(np.isfinite(norms), values, np.nan)


class _TwoWay(_Identification):
    default: ClassVar[bool | str] = "simulated"
    candidates = 2
    chance: ClassVar[float | None] = 0.5


class _Pairwise:
    """One value per pair of images, whatever the others are."""

    version: ClassVar[str] = "1"
    inputs: ClassVar[str] = "embedding"
    targets: ClassVar[tuple[str, ...]] = ("stimulus", "measured")
    unit: ClassVar[str] = "image"
    pool: ClassVar[bool] = False
    controlled: ClassVar[bool] = False
    chance: ClassVar[float | None] = None


class _Distance(_Pairwise):
    default: ClassVar[bool | str] = "simulated"
    higher_is_better: ClassVar[bool] = False
    device: str | None = None

    def on(self, device: str) -> Self:
        """This metric computed on the torch `device`."""
        placed = copy.copy(self)
        placed.device = device
        return placed

    def score(self, result: np.ndarray, target: np.ndarray) -> np.ndarray:
        """(N,) 1 - Pearson correlation over features."""
        distance = correlation_distance(result, target, device=self.device)
        return np.where(np.isfinite(result).all(axis=1) & np.isfinite(target).all(axis=1), distance, np.nan)


class _Cosine(_Pairwise):
    default: ClassVar[bool | str] = False
    higher_is_better: ClassVar[bool] = True

    def score(self, result: np.ndarray, target: np.ndarray) -> np.ndarray:
        """See :func:`cosine_similarity`."""
        return cosine_similarity(result, target)


class AlexNet2(_TwoWay):
    """Two-way identification on the second convolution: colours, edges, texture."""

    label = "Alex(2) tiny"
    backbone: ClassVar[tuple[str, str] | None] = ("alexnet@tiny", "conv2")


class AlexNet5(_TwoWay):
    """Two-way identification on the fifth convolution: parts of objects."""

    label = "Alex(5) tiny"
    backbone: ClassVar[tuple[str, str] | None] = ("alexnet@tiny", "conv5")


class Inception(_TwoWay):
    """Two-way identification on the last pooled layer."""

    label = "Incep tiny"
    backbone: ClassVar[tuple[str, str] | None] = ("inception@tiny", "avgpool")


class Clip(_TwoWay):
    """Two-way identification on the image embedding."""

    label = "CLIP tiny"
    backbone: ClassVar[tuple[str, str] | None] = ("clip@tiny", "image")


class Clip100Way(Clip):
    """100-way identification on the image embedding; NaN with fewer than 100 images."""

    label = "CLIP tiny 100-way"
    candidates = 100
    chance: ClassVar[float | None] = 0.01


class ClipCosine(_Cosine):
    """Cosine similarity of image embeddings."""

    label = "CLIP tiny cosine"
    backbone: ClassVar[tuple[str, str] | None] = ("clip@tiny", "image")


class DINOv2(_TwoWay):
    """Two-way identification on the class token."""

    label = "DINO tiny"
    backbone: ClassVar[tuple[str, str] | None] = ("dinov2@tiny", "cls")


class DINOv2Cosine(_Cosine):
    """Cosine similarity of class tokens."""

    label = "DINO tiny cosine"
    backbone: ClassVar[tuple[str, str] | None] = ("dinov2@tiny", "cls")


class EfficientNet(_Distance):
    """Correlation distance of the last pooled layer."""

    label = "Eff tiny"
    backbone: ClassVar[tuple[str, str] | None] = ("efficientnet@tiny", "avgpool")


class SwAV(_Distance):
    """Correlation distance of the last pooled layer."""

    label = "SwAV tiny"
    backbone: ClassVar[tuple[str, str] | None] = ("swav@tiny", "avgpool")
