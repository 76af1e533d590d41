"""The scales of a picture's tokens: sides, rows, which level of the hierarchy guides which.

A picture is K square maps of code numbers, scale 1 a single token, scale K the whole latent image.  K and
the sides are settings everywhere; nothing is written for one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np

from harness.api import ConfigError

SIDES_256 = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
SIDES_512 = (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)
SIDES_1024 = (1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64)
"""Switti's sides per scale for pictures of 256, 512 and 1024 pixels (github.com/yandex-research/switti)."""


def check_sides(sides: Sequence[int]) -> tuple[int, ...]:
    """`sides` as a tuple; ConfigError unless they begin at 1 and grow."""
    sides = tuple(sides)
    if not sides or sides[0] != 1 or any(a >= b for a, b in pairwise(sides)):
        raise ConfigError(f"mindhier sides are {list(sides)}; expected 1 and then larger ones, as 1, 2, 4, 8")
    return sides


def rows_of(sides: Sequence[int]) -> list[slice]:
    """Where each scale's tokens stand when all scales are one after another."""
    ends = list(accumulate(side * side for side in sides))
    return [slice(start, end) for start, end in zip([0, *ends], ends)]


def level_of(scale: int, *, scales: int, levels: int) -> int:
    """h_k = M - floor(M (k - 1) / K): the level, 1 to M, that guides scale k of K (MindHier, section 3.3).

    The released code writes it as a mask for ten scales of sides that stand in it as numbers; this is the
    paper's formula for any.
    """
    if not 1 <= scale <= scales:
        raise ConfigError(f"scale {scale} is none of {scales}; scales are counted from 1")
    return levels - levels * (scale - 1) // scales


def refiner_of(scale: int, *, scales: int, refiners: int) -> int:
    """Which of `refiners` convolutions refines scale 0 .. scales - 1: the one whose tick lies nearest.

    Ticks are spread over [0, 1] with a distance of 1 / (3 n) from either end
    (github.com/FoundationVision/VAR, ``quant.py``); for odd K a tie at 0.5 is decided by rounding, as there.
    """
    if refiners == 4:
        ticks = np.linspace(1 / 3 / 4, 1 - 1 / 3 / 4, 4)
    else:
        ticks = np.linspace(1 / 2 / refiners, 1 - 1 / 2 / refiners, refiners)
    share = scale / (scales - 1) if scales > 1 else 0.0
    return int(np.argmin(np.abs(ticks - share)))
