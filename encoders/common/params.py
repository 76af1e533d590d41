"""Parameters that trained encoders share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from harness.api import ConfigError, check_ranges


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a network is trained; each system has its own defaults.

    train_on : single trials, or the mean response to each image
    validation : share of training images held out to choose the best epoch, never test images
    epochs, batch, rate, decay, clip, patience : of the training, or of its last stage
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
        check_numbers(self, RANGES)


RANGES = {
    "validation": (0.001, 0.9),
    "epochs": (1, math.inf),
    "batch": (2, math.inf),
    "rate": (1e-9, 10.0),
    "decay": (0.0, math.inf),
    "clip": (0.0, math.inf),
    "patience": (0, math.inf),
}

_SHARES = {"dropout", "drop", "ema"}
"""Fields that are a share, whatever the system."""

_PERHAPS_NONE = {"skip"}
"""Fields of what one layer has and another has not: a class token before the patches."""


def check_numbers(params: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers of `params` outside `ranges`, or, where these are silent, below nothing.

    A whole number counts something: at least 1, or 0 where 0 is the default or a layer has none of it
    (:data:`_PERHAPS_NONE`).  Any other is not negative; of several, none is.

    Raises
    ------
    ConfigError
        Names the field as it is typed.
    """
    check_ranges(params, ranges, section="encoder")
    for field in fields(params):
        value = getattr(params, field.name)
        several = isinstance(value, tuple)
        numbers = [v for v in (value if several else (value,)) if isinstance(v, int | float)]
        if field.name in ranges or isinstance(value, bool) or not numbers:
            continue
        none = several or isinstance(value, float) or not field.default or field.name in _PERHAPS_NONE
        least = 0 if none else 1
        most = 1 if field.name in _SHARES else math.inf
        for number in numbers:
            if not least <= number <= most:
                limits = f"between {least} and 1" if most == 1 else f"at least {least}"
                raise ConfigError(f"encoder.{field.name} is {value}; it must be {limits}")
