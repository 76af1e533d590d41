"""Every setting of the decoder in one place; the defaults are those of the released models."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from harness.api import ConfigError, check_ranges

from .settings import DecodeSettings, FitSettings, RefineSettings

RANGES = {
    "hidden": (1, math.inf),
    "batch": (1, math.inf),
    "samples_per_epoch": (0, math.inf),
    "learning_rate": (1e-12, 1),
    "decay": (0, math.inf),
    "mixco_share": (0, 1),
    "drop": (0, 0.99),
    "guidance": (0, math.inf),
    "candidates": (1, 1000),
    "refine_guidance": (0, math.inf),
    "memory": (0, math.inf),
}
"""Least and most of numbers; others are checked where they are used."""


@dataclass(frozen=True)
class MindEye2Params:
    """What it is made of, how it is fitted, how it draws.

    weights : folder of the public files (:mod:`.public` lists them), or ``tiny`` for this project's
        small parts, which know the embedded benchmark's scenes only.
    pretrained : the part to start from: ``auto`` takes the one in `weights` that was trained on the
        other subjects, ``none`` starts from nothing, anything else is the path of a checkpoint.
    checkpoint : a published model of the subject that decodes as it is, without a fit: the path of its
        ``last.pth``, or ``auto`` for the one in `weights` that was trained on 40 sessions; "" fits.
    hidden, low_level : of the network to fit; a pretrained part must have the same.
    teacher : compare the low-level head's maps with a convolutional network's while fitting
        (:mod:`.teacher`), as in the published training.
    epochs, batch, samples_per_epoch, learning_rate, decay, mixco_share, drop, precision : of the
        subject's training (:class:`.settings.FitSettings`).
    faithful : keep the public code's slips (:mod:`.mixing`).
    prior_steps : of the diffusion prior, 20 of its 100 are DDIM.
    steps, guidance : of the generator.
    candidates : pictures drawn per image.
    blend : share of the blurry image in what is scored where no protocol says another; 0 for none.  It
        changes neither the fit nor what is decoded.
    captions : write captions of the predicted tokens (:mod:`.captions`); of the public files only.
    refine : redraw pictures, prompted with the captions (:mod:`.refinement`), as the published ones
        were; of the public files only.
    refine_steps, refine_strength, refine_guidance : of the refinement; 25 x 0.48 = 12 steps are done.
    half : precision of what decodes, where that is safe: ``float16`` as published, ``bfloat16``, or
        ``float32`` for all.  Softmax and norms of the trained part, prompts and VAE stay in float32, and so
        do the sums over steps.  What is decoded is then float16.
    vae_fix : file of SDXL's VAE as fixed for half precision (madebyollin/sdxl-vae-fp16-fix), which then runs
        in `half`, in place of the generator's and the refinement's own.
    memory : GB of the device's memory to take, 0 for what is free; it changes no number.
    """

    weights: str = ""
    pretrained: str = "auto"
    checkpoint: str = ""
    hidden: int = 4096
    low_level: bool = True
    teacher: bool = True
    epochs: int = 150
    batch: int = 24
    samples_per_epoch: int = 0
    learning_rate: float = 3e-4
    decay: float = 1e-2
    mixco_share: float = 0.33
    drop: float = 0.2
    precision: Literal["float32", "bfloat16"] = "float32"
    faithful: bool = False
    prior_steps: int = 20
    steps: int = 38
    guidance: float = 5.0
    candidates: int = 1
    blend: float = field(default=0.25, metadata={"identity": False})
    captions: bool = False
    refine: bool = False
    refine_steps: int = 25
    refine_strength: float = 0.48
    refine_guidance: float = 5.0
    half: Literal["float32", "float16", "bfloat16"] = "float32"
    vae_fix: str = ""
    memory: float = field(default=0.0, metadata={"identity": False})

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, section="decoder")
        if self.epochs < 3:
            raise ConfigError(f"decoder.epochs is {self.epochs}; the learning rate rises for two, so give 3")
        self.decoding()  # refuses what cannot be
        self.refining()
        if self.weights == "tiny" and (self.captions or self.refine):
            raise ConfigError(
                "decoder.captions and decoder.refine need the public files, and decoder.weights is tiny, "
                "which has no such parts; set both to false, or --set decoder.preset=paper --set "
                "decoder.weights=FOLDER"
            )
        if self.refine and not self.captions:
            raise ConfigError(
                "decoder.refine is prompted with captions, which decoder.captions leaves out; "
                "--set decoder.captions=true, or decoder.refine=false"
            )
        if not 2 <= self.prior_steps <= 100:
            raise ConfigError(f"decoder.prior_steps is {self.prior_steps}; expected 2 to 100, published 20")
        if not 1 <= self.steps < 1000:
            raise ConfigError(f"decoder.steps is {self.steps}; expected 1 to 999, published 38")

    def decoding(self) -> DecodeSettings:
        """How it is fitted and decodes."""
        fit = FitSettings(
            epochs=self.epochs,
            batch=self.batch,
            samples_per_epoch=self.samples_per_epoch,
            learning_rate=self.learning_rate,
            decay=self.decay,
            mixco_share=self.mixco_share,
            drop=self.drop,
            precision=self.precision,
            faithful=self.faithful,
        )
        return DecodeSettings(fit, self.prior_steps, self.candidates, self.blend, self.memory)

    def refining(self) -> RefineSettings:
        """How pictures are refined."""
        return RefineSettings(
            steps=self.refine_steps, strength=self.refine_strength, guidance=self.refine_guidance
        )
