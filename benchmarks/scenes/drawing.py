"""From a scene's description to its pixels, with integers only.

Backgrounds are textured at the final 64 x 64 pixels; objects are pasted at twice that and averaged
down, far ones first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..words import words
from .description import Scene, SceneObject, describe
from .shapes import shade_map

SIDE = 64
"""Height and width of an image in pixels."""

_RGB = {
    "red": (208, 40, 44),
    "orange": (240, 136, 30),
    "yellow": (244, 214, 50),
    "green": (44, 150, 62),
    "cyan": (52, 192, 200),
    "blue": (44, 84, 200),
    "purple": (128, 56, 164),
    "pink": (242, 140, 180),
    "white": (236, 236, 232),
}
_FIXED = {
    "OUTLINE": (30, 26, 34),
    "WHITE": (248, 248, 248),
    "BLACK": (22, 20, 24),
    "SKIN": (236, 190, 156),
    "WOOD": (104, 66, 40),
    "GLASS": (176, 214, 232),
    "YELLOW": (250, 214, 60),
    "GREY": (112, 114, 124),
    "LEAF": (50, 128, 48),
    "LIP": (168, 34, 46),
}
_TEXTURE_STREAM = 2
_LATTICES = (16, 8, 4)
_TINTS = 3
_ROWS = np.arange(SIDE, dtype=np.int32)[:, None]
_COLUMNS = np.arange(SIDE, dtype=np.int32)[None, :]


def draw(namespace: str, indices: Iterable[int]) -> np.ndarray:
    """Images (n, 64, 64, 3) uint8 of the scenes `indices` of `namespace`."""
    scenes = describe(namespace, indices)
    images = np.empty((len(scenes), SIDE, SIDE, 3), np.uint8)
    for image, scene in zip(images, scenes):
        image[:] = draw_scene(scene)
    return images


def draw_scene(scene: Scene) -> np.ndarray:
    """The image (64, 64, 3) uint8 of one scene."""
    raw = words(scene.namespace, scene.index, _WORD_COUNT, stream=_TEXTURE_STREAM)
    fine = raw.astype("<u8").view(np.uint8)
    canvas = np.empty((SIDE, 2, SIDE, 2, 3), np.uint8)
    canvas[:] = _background(scene.background, fine)[:, None, :, None]
    canvas = canvas.reshape(2 * SIDE, 2 * SIDE, 3)
    for item in sorted(scene.objects, key=lambda each: each.order):
        tint = fine[_TINTS * item.order :][:_TINTS].astype(np.int32)
        _paste(canvas, item, tint)
    total = canvas.astype(np.uint16)
    rows = total[0::2] + total[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def _paste(canvas: np.ndarray, item: SceneObject, tint: np.ndarray) -> None:
    """Lay one object over the supersampled `canvas` (128, 128, 3), clipped at its border."""
    shades = shade_map(item.category, item.variant, 2 * item.radius, item.tilt, item.mirrored)
    half = len(shades) // 2
    top, left = 2 * item.y + 1 - half, 2 * item.x + 1 - half
    upper, lower = max(top, 0), min(top + 2 * half, len(canvas))
    first, last = max(left, 0), min(left + 2 * half, len(canvas))
    shades = shades[upper - top : lower - top, first - left : last - left]
    region = canvas[upper:lower, first:last]
    inside = shades != 0
    region[inside] = _palette(item.color, tint)[shades[inside]]


def _palette(color: str, tint: np.ndarray) -> np.ndarray:
    """(15, 3) uint8 colours of the shades, in their order; `tint` (3,) bytes vary the main colour."""
    main = np.clip(np.array(_RGB[color], np.int32) + (tint - 128) // 12, 0, 255)
    light = main + (255 - main) * 5 // 9
    luminance = (3 * main[0] + 6 * main[1] + main[2]) // 10
    plate = (248, 246, 236) if luminance < 150 else (40, 36, 48)
    fixed = [
        _FIXED[name] for name in ("OUTLINE", "WHITE", "BLACK", "SKIN", "WOOD", "GLASS", "YELLOW", "GREY")
    ]
    rows = [(0, 0, 0), main, main * 5 // 8, light, *fixed, plate, _FIXED["LEAF"], _FIXED["LIP"]]
    return np.array(rows, np.int32).astype(np.uint8)


def _interpolation(step: int) -> np.ndarray:
    """(64, 64 / step + 1) integer weights of linear interpolation, rows summing to `step`."""
    weights = np.zeros((SIDE, SIDE // step + 1), np.int32)
    for row in range(SIDE):
        weights[row, row // step] = step - row % step
        weights[row, row // step + 1] = row % step
    return weights


_WEIGHTS = {step: _interpolation(step) for step in _LATTICES}
_SIZES = {step: (SIDE // step + 1) ** 2 for step in _LATTICES}
_HEAD = 16  # bytes for tints, horizon and the like
_WORD_COUNT = (_HEAD + sum(_SIZES.values()) + SIDE * SIDE + 7) // 8


class _Texture:
    """Noise of one scene: smooth fields (64, 64) in 0..255 by lattice step, pixel grain, spare bytes."""

    def __init__(self, fine: np.ndarray) -> None:
        self.spare = fine[_TINTS * 3 : _HEAD].astype(np.int32)
        at = _HEAD
        self.smooth: dict[int, np.ndarray] = {}
        for step in _LATTICES:
            lattice = fine[at : at + _SIZES[step]].astype(np.int32).reshape(SIDE // step + 1, -1)
            weights = _WEIGHTS[step]
            self.smooth[step] = (weights @ lattice @ weights.T) // (step * step)
            at += _SIZES[step]
        self.grain = fine[at : at + SIDE * SIDE].astype(np.int32).reshape(SIDE, SIDE)

    @property
    def cloud(self) -> np.ndarray:
        """Sum over scales, each halving, 0..255: about 1/f."""
        return (4 * self.smooth[16] + 2 * self.smooth[8] + self.smooth[4] + self.grain // 4) * 4 // 29


def _mix(first: tuple[int, int, int], second: tuple[int, int, int], share: np.ndarray) -> np.ndarray:
    """Colour between two: `share` (64, 64) or broadcastable, 0 for the first, 256 for the second."""
    share = np.clip(share, 0, 256)
    return np.stack([low + ((high - low) * share >> 8) for low, high in zip(first, second)], axis=-1)


def _horizon(texture: _Texture, sky: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """`sky` above a slightly wavy line at rows 14 to 29, `ground` below."""
    line = 14 + (texture.spare[0] >> 4) + (texture.smooth[16][:1] >> 6)
    return np.where((line < _ROWS)[..., None], ground, sky)


def _sky(texture: _Texture) -> np.ndarray:
    air = _mix((64, 124, 214), (176, 212, 244), _ROWS * 4 + np.zeros_like(_COLUMNS))
    amount = np.clip((texture.cloud - 128) * 9, 0, 230)
    return air + ((250 - air) * amount[..., None] >> 8)


def _grass(texture: _Texture) -> np.ndarray:
    blades = (texture.grain + np.roll(texture.grain, 1, axis=0)) // 2
    ground = _mix((38, 96, 30), (136, 186, 66), (blades * 3 + texture.smooth[8] * 2) // 5)
    return _horizon(texture, _mix((188, 216, 236), (226, 238, 240), _ROWS * 10 + 0 * _COLUMNS), ground)


def _sand(texture: _Texture) -> np.ndarray:
    phase = (_ROWS * 40 + texture.smooth[16] * 2 + texture.smooth[8]) & 255
    ripple = np.abs(phase - 128)  # a triangle wave, bent by the noise
    ground = _mix((182, 138, 82), (238, 208, 150), (ripple * 4 + texture.grain // 2 + texture.smooth[4]) // 3)
    return _horizon(texture, _mix((246, 206, 150), (250, 232, 200), _ROWS * 10 + 0 * _COLUMNS), ground)


def _sea(texture: _Texture) -> np.ndarray:
    phase = (_ROWS * 56 + texture.smooth[8] * 3 + _COLUMNS * 2) & 255
    crest = np.clip(np.abs(phase - 128) * 4 - 300, 0, 256)
    water = _mix((14, 66, 110), (30, 122, 150), _ROWS * 4 + texture.smooth[4] // 3)
    water = water + ((np.array((190, 226, 232), np.int32) - water) * crest[..., None] >> 9)
    return _horizon(texture, _mix((150, 176, 206), (206, 218, 226), _ROWS * 10 + 0 * _COLUMNS), water)


def _night(texture: _Texture) -> np.ndarray:
    air = _mix((8, 10, 34), (40, 36, 84), _ROWS * 5 + texture.smooth[16] // 4)
    air = np.where((texture.grain > 251)[..., None], np.array((236, 236, 210), np.int32), air)
    x, y = 8 + (texture.spare[1] * 48 >> 8), 6 + (texture.spare[2] >> 5)
    moon = (_COLUMNS - x) ** 2 + (_ROWS - y) ** 2 <= 16
    air = np.where(moon[..., None], np.array((244, 240, 206), np.int32), air)
    ground = _mix((10, 16, 20), (34, 40, 46), (texture.grain + texture.smooth[4]) // 2)
    line = 48 + (texture.spare[0] >> 5) + (texture.smooth[16][:1] >> 6)
    return np.where((line < _ROWS)[..., None], ground, air)


_BACKGROUNDS: dict[str, Callable[[_Texture], np.ndarray]] = {
    "sky": _sky,
    "grass": _grass,
    "sand": _sand,
    "sea": _sea,
    "night": _night,
}


def _background(name: str, fine: np.ndarray) -> np.ndarray:
    """(64, 64, 3) uint8 textured background from random bytes."""
    texture = _Texture(fine)
    tint = (texture.spare[3:6] - 128) // 10
    return np.clip(_BACKGROUNDS[name](texture) + tint, 0, 255).astype(np.uint8)
