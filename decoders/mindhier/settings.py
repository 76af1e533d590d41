"""Which layers are the hierarchy, how both stages are fitted and how codes are drawn.

No network is imported to say it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.api import ConfigError

Order = Literal["coarse-first", "inverted", "as-released"]

LayerMap = Literal["middle", "late", "early"]
_FIRST = {"middle": 1 / 3, "late": 2 / 3, "early": 0.0}
"""Share of the layers below the first step of each map."""


def layers_of(name: LayerMap, *, levels: int, layers: int) -> tuple[int, ...]:
    """g_1 .. g_M of a map: g_m = L (s + (1 - s) m / M), rounded, with the map's share s.

    For 24 layers and 4 levels these are 8 + 4 m, 16 + 2 m and 6 m, as published.
    """
    share = _FIRST[name]
    chosen = tuple(round(layers * (share + (1 - share) * m / levels)) for m in range(1, levels + 1))
    if chosen[0] < 1:
        raise ConfigError(f"the layer map {name} has no layer for level 1 of {levels} in {layers} layers")
    return chosen


@dataclass(frozen=True)
class StageSettings:
    """One stage: `steps` optimiser steps of `batch` trials on a cosine with `warmup` steps of rise."""

    steps: int
    batch: int
    rate: float
    warmup: int
    last_rate: float = 1e-6


@dataclass(frozen=True)
class FitSettings:
    """How both stages are carried out.

    encoder, transformer : of stage 1 and stage 2.
    final_only : stage 1 supervises the last level alone (ablation).
    single : the last level guides every scale (ablation).
    order : which level the first scale meets; see :func:`.fitting.context_of`.
    text_weight : of the text's distance; the released code's factors come to 3.34 of the image's.
    temperature : of the contrastive loss.
    drop : share of patterns replaced by zero voxels in stage 2.
    balanced : each scale counts the same in stage 2, not each token.
    """

    encoder: StageSettings
    transformer: StageSettings
    final_only: bool = False
    single: bool = False
    order: Order = "coarse-first"
    text_weight: float = 3.34
    temperature: float = 0.005
    drop: float = 0.1
    balanced: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True)
class SamplingSettings:
    """How codes are drawn; the defaults are those of MindHier's notebooks.

    guidance : s above; 0 draws without.
    top_k, top_p : of the codes that may be drawn; 0 and 1 for all.  top_k 1 takes the likeliest.
    guided_from, guided_until : scales, counted from 0, that guidance is on for; guided_until 0 means all.
    smooth : whether codes are mixtures (Gumbel softmax) from scale `smooth_from` on while guidance is on.
    last_temperature : divides logits where guidance is off at the end; 0 leaves them.
    """

    guidance: float = 6.0
    top_k: int = 400
    top_p: float = 0.95
    guided_from: int = 1
    guided_until: int = 0
    smooth: bool = False
    smooth_from: int = 0
    last_temperature: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"decoder.top_p is {self.top_p}; expected above 0 to 1, published 0.95")
        for name in ("guidance", "top_k", "guided_from", "guided_until", "smooth_from", "last_temperature"):
            if getattr(self, name) < 0:
                raise ConfigError(f"decoder.{name} is {getattr(self, name)}; it must not be negative")

    def guided(self, scale: int, scales: int) -> bool:
        """Whether the null rows matter at scale 0 .. scales - 1; at the first the factor is 0."""
        return bool(self.guidance) and scale > 0 and self.guided_from <= scale < self.until(scales)

    def until(self, scales: int) -> int:
        """The first scale without guidance at the end."""
        return self.guided_until or scales
