"""Sizes of the bridge, and how it is fitted; no network is imported to say it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Pooling = Literal["max", "avg", "resize"]


@dataclass(frozen=True)
class NetworkSettings:
    """Sizes; the defaults are those of the released models.

    pooled : voxels after pooling, the same for every subject.
    bottleneck : of the adapters.
    hidden, blocks : of the shared space and the translator.
    image_tokens, text_tokens, token_dim : of what is predicted.
    """

    pooled: int = 8192
    bottleneck: int = 128
    hidden: int = 2048
    blocks: int = 4
    image_tokens: int = 257
    text_tokens: int = 77
    token_dim: int = 768


@dataclass(frozen=True)
class LossWeights:
    """Factors of the terms; the defaults are those of the released scripts."""

    mse: float = 1e4
    reconstruction: float = 1.0
    cycle: float = 1.0


@dataclass(frozen=True)
class FitSettings:
    """The defaults are those of the released scripts: a bridge of several subjects on one device."""

    epochs: int = 600
    batch: int = 50
    learning_rate: float = 1.5e-4
    decay: float = 1e-2
    weights: LossWeights = field(default_factory=LossWeights)
