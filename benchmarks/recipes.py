"""What the versions of the simulated cortex differ in; each has a number that never moves again.

Version 1 sees content linearly: in its higher areas a linear read-out of the content of a scene explains
nearly all of the explainable variance, its ceilings lie above those of NSD, and its noise is the same in
every trial.  Version 2 binds, normalises and has context (:mod:`.objects`, :mod:`.energy`), NSD's
ceilings, and noise with drift and serial correlation (:mod:`.noise`).  Scenes, layouts and
receptive fields are the same in both.

Medians of NSD's noise ceiling of three repeats are about 37 % in V1, 31 % in V2, 26 % in hV4 and 10 % in
inferior temporal cortex (Allen et al. 2022, func1pt8mm); V3 of version 2 lies between its neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Area:
    """One ROI: its cortical group, its share of a subject's voxels, and its median noise ceiling
    (explainable variance of the mean of three repeats)."""

    name: str
    group: str
    share: float
    ceiling: float

    @property
    def ncsnr(self) -> float:
        """Median ncsnr: NC = ncsnr^2 / (ncsnr^2 + 1/3)."""
        return math.sqrt(self.ceiling / (3 * (1 - self.ceiling)))


_LAYOUT = {
    "V1": ("early", 0.200),
    "V2": ("early", 0.175),
    "V3": ("middle", 0.120),
    "hV4": ("middle", 0.095),
    "LO": ("higher", 0.130),
    "EBA": ("higher", 0.075),
    "FFA": ("higher", 0.075),
    "PPA": ("higher", 0.075),
    "VWFA": ("higher", 0.055),
}
"""Group and share of each area, in their order on the sheet."""


def _areas(*ceilings: float) -> tuple[Area, ...]:
    return tuple(Area(name, *_LAYOUT[name], ceiling) for name, ceiling in zip(_LAYOUT, ceilings, strict=True))


@dataclass(frozen=True)
class Recipe:
    """One version of the simulated cortex.

    version : as in ``embedded@2``.
    areas : in their order on the sheet.
    spread : SD of log ncsnr within an area.
    surround : energies are divided by what their neighbourhood holds.
    higher : voxels of higher areas respond to ``content`` (a list of what is there) or to ``objects``
        (what is there as what, where, in which colour and before what).
    drift, serial : share of a slow component in the variance of the noise, and the correlation of the
        rest from one trial to the next of a run.
    """

    version: str
    areas: tuple[Area, ...]
    spread: float
    surround: bool
    higher: Literal["content", "objects"]
    drift: float
    serial: float

    @property
    def dataset(self) -> str:
        """Name in the spaces: version 1 had none of its own."""
        return "embedded" if self.version == "1" else f"embedded@{self.version}"


RECIPES = {
    recipe.version: recipe
    for recipe in (
        Recipe(
            version="1",
            areas=_areas(0.50, 0.45, 0.40, 0.35, 0.29, 0.26, 0.25, 0.24, 0.20),
            spread=0.76,
            surround=False,
            higher="content",
            drift=0.0,
            serial=0.0,
        ),
        Recipe(
            version="2",
            areas=_areas(0.37, 0.31, 0.285, 0.26, 0.10, 0.10, 0.10, 0.10, 0.10),
            spread=0.50,
            surround=True,
            higher="objects",
            drift=0.10,
            serial=0.25,
        ),
    )
}
