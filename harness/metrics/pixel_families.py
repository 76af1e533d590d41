"""Every constant of PixCorr and SSIM (:mod:`.pixel`): resizing, luminance, window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Family:
    """How images become what is compared: resized through `sizes` in turn, bilinear."""

    name: str
    sizes: tuple[int, ...]
    antialias: bool


MINDEYE2_V1 = Family("mindeye2-v1", sizes=(256, 425), antialias=False)
V2 = Family("v2", sizes=(256, 425), antialias=True)
FAMILIES = {family.name: family for family in (MINDEYE2_V1, V2)}

GREY = (0.2125, 0.7154, 0.0721)  # luminance of linear Rec. 709 primaries, as skimage.color.rgb2gray
SIGMA, RADIUS = 1.5, 5  # window SD in px; taps on each side, int(3.5 * 1.5 + 0.5)
C1, C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2 for a data range L of 1
CONTRAST_FLOOR = 2e-7  # SD; one grey level in one pixel of 512 x 512 is about 2e-6 after resizing


def window_taps() -> np.ndarray:
    """(11,) weights of the Gaussian window along one axis; their sum is 1."""
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    return taps / taps.sum()
