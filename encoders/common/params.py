"""Parameters that trained encoders share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from harness.api import check_ranges


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained; each system has its own defaults.

    train_on : single trials, or the mean response to each image.
    validation : share of training images held out to choose the best epoch, never test images.
    epochs, batch, rate, decay, clip, patience : of the training, or of its last stage.
    """

    train_on: Literal["trials", "means"] = "trials"
    validation: float = 0.05
    epochs: int = 50
    batch: int = 64
    rate: float = 1e-3
    decay: float = 0.0
    clip: float = 0.0
    patience: int = 0

    def __post_init__(self) -> None:
        check_ranges(self, RANGES, section="encoder")


RANGES = {
    "validation": (0.001, 0.9),
    "epochs": (1, math.inf),
    "batch": (2, math.inf),
    "rate": (1e-9, 10.0),
    "decay": (0.0, math.inf),
    "clip": (0.0, math.inf),
    "patience": (0, math.inf),
}
