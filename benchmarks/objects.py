"""What a voxel of a higher area of version 2 is tuned to: bound objects, before a background, normalised.

Each object of a scene drives a voxel by the product of its category, colour, look, size and place: a
red face on the left is not "red" plus "face" plus "left".  The background changes the gain of each
category (context, Bar 2004).  What all objects and the texture behind them drive divides the sum
(normalisation, Carandini & Heeger 2012; Reynolds & Heeger 2009), so that an object counts for less in
company.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .scenes import BACKGROUNDS, CATEGORIES, COLORS, Scene
from .scenes.description import VARIANTS
from .sheet import smooth_fields, white

MOST = 3
"""Objects of a scene."""
_LENGTH = 3.0  # voxels over which tuning varies
_FLOOR = 0.1  # of the gain of place: an object anywhere counts a little
_REST = 0.35  # what divides beside the objects
_POWER = 0.6  # compression of the whole
_SELECTIVITY = 1.5  # power of the liking, which compression would level


@dataclass(frozen=True)
class SeenObjects:
    """Objects of n scenes, (n, :data:`MOST`) each: indices of category, colour and look, `radius` over 16
    pixels (0 where there is none), centre in pixels; `background` (n,)."""

    category: np.ndarray
    color: np.ndarray
    look: np.ndarray
    radius: np.ndarray
    x: np.ndarray
    y: np.ndarray
    background: np.ndarray

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> SeenObjects:
        """Read off the descriptions, not the pixels."""
        numbers = np.zeros((6, len(scenes), MOST))
        for row, scene in enumerate(scenes):
            for slot, item in enumerate(scene.objects):
                kind, color = CATEGORIES.index(item.category), COLORS.index(item.color)
                numbers[:, row, slot] = (kind, color, item.variant, item.radius / 16.0, item.x, item.y)
        category, color, look = numbers[:3].astype(np.int64)
        background = np.array([BACKGROUNDS.index(scene.background) for scene in scenes], np.int64)
        return cls(category, color, look, *numbers[3:], background)


@dataclass(frozen=True)
class ObjectTuning:
    """Tuning of V voxels of one area; all gains are positive.

    category : (10, V).  color : (9, V).  look : (60, V), of each category's variants.
    size : (V,) preferred log2 of radius / 16.  centre : (V, 2) pixels, reach : (V,) pixels.
    context : (50, V) gain of each category before each background.
    companion : (10, V) weight of each category in what divides.
    """

    category: np.ndarray
    color: np.ndarray
    look: np.ndarray
    size: np.ndarray
    centre: np.ndarray
    reach: np.ndarray
    context: np.ndarray
    companion: np.ndarray

    def respond(self, seen: SeenObjects) -> np.ndarray:
        """(n, V) responses."""
        driven, divided = 0.0, _REST
        for slot in range(MOST):
            kind, radius = seen.category[:, slot], seen.radius[:, slot]
            there = (radius > 0)[:, None]
            octaves = np.log2(np.where(radius > 0, radius, 1.0))[:, None] - self.size
            squared = (seen.x[:, slot, None] - self.centre[:, 0]) ** 2
            squared = squared + (seen.y[:, slot, None] - self.centre[:, 1]) ** 2
            place = _FLOOR + (1 - _FLOOR) * np.exp(-squared / (2 * self.reach**2))
            salience = there * place * (radius**2)[:, None]
            gain = self.color[seen.color[:, slot]] * self.look[kind * VARIANTS + seen.look[:, slot]]
            gain = gain * self.context[kind * len(BACKGROUNDS) + seen.background]
            driven = driven + there * place * self.category[kind] * gain * np.exp(-(octaves**2) / 2)
            divided = divided + salience * self.companion[kind]
        return (driven / divided) ** _POWER


def object_tuning(liking: np.ndarray, cells: np.ndarray, *, name: str) -> ObjectTuning:
    """Tuning of one area whose voxels like the categories by `liking` (10,), with their own accents."""
    n_voxels = len(cells)

    def fields(count: int, what: str) -> np.ndarray:
        smooth = smooth_fields(cells, count, length=_LENGTH, name=f"{name}|objects|{what}")
        return 0.9 * smooth + 0.45 * white(n_voxels, count, name=f"{name}|objects|{what}|grain")

    n = len(CATEGORIES)
    others = 0.5 * np.maximum(np.abs(fields(n, "others")) - 1.0, 0.0)
    place = fields(3, "place")
    return ObjectTuning(
        category=(liking**_SELECTIVITY * np.exp(0.4 * fields(n, "liking")) + others).T,
        color=np.exp(0.6 * fields(len(COLORS), "color")).T,
        look=np.exp(0.7 * fields(n * VARIANTS, "look")).T,
        size=-0.3 + 0.5 * fields(1, "size")[:, 0],
        centre=31.5 + np.array([11.0, 7.0]) * place[:, :2],
        reach=15.0 * np.exp(0.25 * place[:, 2]),
        context=np.exp(0.8 * fields(n * len(BACKGROUNDS), "context")).T,
        companion=np.exp(0.6 * fields(n, "companion")).T,
    )
