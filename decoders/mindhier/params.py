"""Every setting of the decoder in one place; the defaults are those of the paper and the released code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from harness.api import ConfigError, check_ranges
from harness.decoders.settings import part_of

from .settings import FitSettings, LayerMap, Order, SamplingSettings, StageSettings

RANGES = {
    "encoder_steps": (1, math.inf),
    "encoder_batch": (2, math.inf),
    "encoder_rate": (1e-12, 1),
    "transformer_steps": (1, math.inf),
    "transformer_batch": (1, math.inf),
    "transformer_rate": (1e-12, 1),
    "warmup": (0, math.inf),
    "drop": (0, 0.99),
    "text_weight": (0, math.inf),
    "crop": (1, 4),
    "candidates": (1, 1000),
    "blend": (0, 1),
}
"""Least and most of numbers; others are checked where they are used."""


@dataclass(frozen=True, kw_only=True)
class MindHierParams(SamplingSettings):
    """What it is made of, how it is fitted, how it draws.

    weights : folder of the public files (:mod:`.public` lists them), or ``tiny`` for this project's small
        parts, which know the embedded benchmark's scenes only.
    pretrained : folder of fitted weights of both stages, for this subject, which decode without a fit.
    start : what stage 2 starts from: ``auto`` takes Switti's weights (or the small ones), ``none`` starts
        from nothing.
    layer_map : layers that supervise the levels, ``middle`` as published, ``late`` or ``early`` (ablations).
    supervision : ``final`` supervises the last level alone (ablation).
    guiding : ``single`` lets the last level guide every scale (ablation).
    order : ``coarse-first`` in training and decoding, ``inverted`` in both (ablation), or ``as-released``,
        which differs between the two.
    encoder_*, transformer_*, warmup, precision : of the two stages.
    text_weight, drop, balanced, crop : see :mod:`.fitting` and :mod:`.core`.
    guidance ... last_temperature : of :class:`.sampling.SamplingSettings`.
    candidates : pictures drawn per image.
    low_level : ``mindeye2`` mixes in the blurry image of MindEye2's low-level head: that of its published
        model of the subject (:mod:`.published_low_level`), or of one that is fitted beside the small parts.
    blend : share of the blurry image where there is one and no protocol says another; 0.45 published.
    """

    weights: str = ""
    pretrained: str = ""
    start: Literal["auto", "none"] = "auto"
    layer_map: LayerMap = "middle"
    supervision: Literal["all", "final"] = "all"
    guiding: Literal["hierarchy", "single"] = "hierarchy"
    order: Order = "coarse-first"
    encoder_steps: int = 16_000
    encoder_batch: int = 512
    encoder_rate: float = 1e-4
    transformer_steps: int = 9_000
    transformer_batch: int = 80
    transformer_rate: float = 1e-4
    warmup: int = 500
    text_weight: float = 3.34
    drop: float = 0.1
    balanced: bool = False
    crop: float = 1.125
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    candidates: int = 1
    low_level: Literal["none", "mindeye2"] = "none"
    blend: float = field(default=0.45, metadata={"identity": False})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, RANGES, section="decoder")
        if self.pretrained and self.low_level != "none" and self.weights == "tiny":
            raise ConfigError(
                "decoder.low_level is fitted with the rest of the small parts, and decoder.pretrained leaves "
                "the fit out; set decoder.low_level=none"
            )

    def fitting(self) -> FitSettings:
        """How both stages are carried out."""

        def stage(name: str) -> StageSettings:
            steps, batch, rate = (getattr(self, f"{name}_{field}") for field in ("steps", "batch", "rate"))
            return StageSettings(steps, batch, rate, min(self.warmup, steps // 5))

        return part_of(
            self,
            FitSettings,
            encoder=stage("encoder"),
            transformer=stage("transformer"),
            final_only=self.supervision == "final",
            single=self.guiding == "single",
        )

    def sampling(self) -> SamplingSettings:
        """How codes are drawn."""
        return part_of(self, SamplingSettings)
