"""Shapes of the ten object categories, rasterised with integer arithmetic.

A shape is drawn in its own coordinates: u to the right, v downwards, 256 units to the radius.  The
result is a map of shades (what each pixel is painted with, 0 for nothing), twice supersampled, that
is coloured when it is pasted into a scene.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

UNIT = 256
(CLEAR, MAIN, DARK, LIGHT, OUTLINE, WHITE, BLACK, SKIN, WOOD, GLASS, YELLOW, GREY, PLATE, LEAF, LIP) = range(
    15
)
"""Shades; MAIN, DARK, LIGHT and PLATE follow from the object's colour, the others are fixed."""

_TURNS = {-16: (984, -282), -8: (1014, -143), 0: (1024, 0), 8: (1014, 143), 16: (984, 282)}
"""Tilt in degrees -> 1024 cosine, 1024 sine, rounded."""

_LETTERS = {
    "A": "01110 10001 10001 11111 10001 10001 10001",
    "B": "11110 10001 10001 11110 10001 10001 11110",
    "C": "01111 10000 10000 10000 10000 10000 01111",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "H": "10001 10001 10001 11111 10001 10001 10001",
    "I": "11111 00100 00100 00100 00100 00100 11111",
    "K": "10001 10010 10100 11000 10100 10010 10001",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "N": "10001 11001 11001 10101 10011 10011 10001",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "P": "11110 10001 10001 11110 10000 10000 10000",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "S": "01111 10000 10000 01110 00001 00001 11110",
    "T": "11111 00100 00100 00100 00100 00100 00100",
    "X": "10001 01010 00100 00100 00100 01010 10001",
}
_WORDS = ("BAR", "TEX", "SHO", "LIP", "KIN", "COT")


class Pen:
    """Paints shades on a grid of shape coordinates `u`, `v` (h, w) int32; later paint covers earlier."""

    def __init__(self, u: np.ndarray, v: np.ndarray) -> None:
        self.u, self.v = u, v
        self.shades = np.zeros(u.shape, np.uint8)

    def paint(self, shade: int, inside: np.ndarray) -> None:
        """Paint where `inside` (h, w) is True."""
        self.shades[inside] = shade

    def oval(self, u: int, v: int, a: int, b: int) -> np.ndarray:
        """Inside the ellipse about (u, v) with half axes a and b."""
        # The shift keeps the squares within 32 bits.
        return ((self.u - u) * b >> 4) ** 2 + ((self.v - v) * a >> 4) ** 2 <= (a * b >> 4) ** 2

    def box(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """Inside an upright rectangle."""
        return (self.u >= left) & (self.u <= right) & (self.v >= top) & (self.v <= bottom)

    def polygon(self, *corners: tuple[int, int]) -> np.ndarray:
        """Inside a convex polygon, corners clockwise as seen."""
        inside = np.ones(self.u.shape, bool)
        for (u0, v0), (u1, v1) in zip(corners, corners[1:] + corners[:1]):
            inside &= (u1 - u0) * (self.v - v0) - (v1 - v0) * (self.u - u0) >= 0
        return inside

    def stroke(self, start: tuple[int, int], end: tuple[int, int], half_width: int) -> np.ndarray:
        """Within `half_width` of a line segment."""
        (u0, v0), (u1, v1) = start, end
        du, dv = u1 - u0, v1 - v0
        square = du * du + dv * dv
        u, v = self.u.astype(np.int64) - u0, self.v.astype(np.int64) - v0
        along = np.clip(u * du + v * dv, 0, square)
        off_u, off_v = u * square - along * du, v * square - along * dv
        # Distances are scaled by the squared length; the shift keeps their squares within 64 bits.
        return (off_u >> 8) ** 2 + (off_v >> 8) ** 2 <= ((half_width * square) >> 8) ** 2


def _face(pen: Pen, variant: int) -> None:
    pen.paint(WOOD, pen.oval(0, -30, 215, 226))
    if variant % 2:
        pen.paint(WOOD, pen.box(-215, -30, -130, 180) | pen.box(130, -30, 215, 180))
    pen.paint(MAIN, pen.oval(0, 30, 180, 222))
    pen.paint(WOOD, pen.oval(0, -165, 168, 70))
    for side in (-1, 1):
        pen.paint(WHITE, pen.oval(76 * side, -15, 52, 38))
        pen.paint(BLACK, pen.oval(76 * side, -12, 25, 30))
        pen.paint(WOOD, pen.box(76 * side - 52, -78, 76 * side + 52, -60))
    pen.paint(DARK, pen.polygon((0, 0), (28, 88), (-28, 88)))
    if variant % 3 == 0:
        pen.paint(LIP, pen.oval(0, 150, 66, 40))
    elif variant % 3 == 1:
        pen.paint(LIP, pen.oval(0, 122, 90, 66) & (pen.v > 128))
    else:
        pen.paint(LIP, pen.box(-72, 132, 72, 166))


def _person(pen: Pen, variant: int) -> None:
    hands = (
        ((-150, -170), (-150, 66), (-176, -40))[variant % 3],
        ((150, 66), (150, 66), (150, -170))[variant % 3],
    )
    for side, (u, v) in zip((-1, 1), hands):
        pen.paint(DARK, pen.stroke((58 * side, -82), (u, v), 25))
        pen.paint(SKIN, pen.oval(u, v, 32, 32))
    spread = 84 if variant % 2 else 48
    for side in (-1, 1):
        pen.paint(GREY, pen.stroke((36 * side, 70), (spread * side, 220), 34))
        pen.paint(BLACK, pen.oval(spread * side + 12, 236, 46, 20))
    pen.paint(MAIN, pen.polygon((-82, -112), (82, -112), (68, 92), (-68, 92)))
    pen.paint(LIGHT, pen.box(-14, -112, 14, 92))
    pen.paint(SKIN, pen.oval(0, -182, 62, 70))
    pen.paint(WOOD, pen.oval(0, -212, 64, 44))


def _house(pen: Pen, variant: int) -> None:
    pen.paint(GREY, pen.box(90, -230, 146, -80))
    pen.paint(MAIN, pen.box(-190, -50, 190, 236))
    pen.paint(DARK, pen.polygon((0, -250), (246, -36), (-246, -36)))
    door = -40 if variant % 2 else 60
    pen.paint(WOOD, pen.box(door, 90, door + 92, 236))
    windows = ((-150, -10), (-50, -10), (60, -10)) if variant % 3 else ((-150, 0), (70, 0))
    for u, v in (*windows, (-150, 100) if variant % 2 == 0 else (90, 100)):
        pen.paint(WHITE, pen.box(u - 6, v - 6, u + 82, v + 74))
        pen.paint(GLASS, pen.box(u + 6, v + 6, u + 32, v + 62) | pen.box(u + 44, v + 6, u + 70, v + 62))


def _word(pen: Pen, variant: int) -> None:
    pen.paint(MAIN, pen.box(-256, -130, 256, 130))
    pen.paint(PLATE, pen.box(-240, -114, 240, 114))
    for number, letter in enumerate(_WORDS[variant]):
        left, top = -222 + 152 * number, -91
        for row, dots in enumerate(_LETTERS[letter].split()):
            for column, dot in enumerate(dots):
                if dot == "1":
                    u, v = left + 28 * column, top + 26 * row
                    pen.paint(MAIN, pen.box(u, v, u + 28, v + 26))


def _car(pen: Pen, variant: int) -> None:
    roof = -130 if variant % 2 else -100
    pen.paint(DARK, pen.polygon((-110, roof), (70, roof), (150, 0), (-180, 0)))
    pen.paint(GLASS, pen.polygon((-96, roof + 20), (-24, roof + 20), (-24, -8), (-146, -8)))
    pen.paint(GLASS, pen.polygon((0, roof + 20), (58, roof + 20), (116, -8), (0, -8)))
    pen.paint(MAIN, pen.box(-244, -4, 250, 104) & ~pen.polygon((250, -4), (250, 40), (190, -4)))
    if variant % 3 == 0:
        pen.paint(LIGHT, pen.box(-244, 34, 250, 58))
    pen.paint(YELLOW, pen.oval(226, 48, 22, 22))
    pen.paint(LIP, pen.box(-244, 30, -222, 66))
    for u in (-138, 138):
        pen.paint(BLACK, pen.oval(u, 104, 66, 66))
        pen.paint(GREY, pen.oval(u, 104, 30, 30))


def _tree(pen: Pen, variant: int) -> None:
    pen.paint(WOOD, pen.polygon((-30, 20), (30, 20), (42, 250), (-42, 250)))
    if variant % 2:
        for top, half in ((-250, 120), (-160, 160), (-60, 196)):
            pen.paint(DARK, pen.polygon((0, top), (half, top + 190), (-half, top + 190)))
            pen.paint(MAIN, pen.polygon((0, top), (half, top + 168), (-half, top + 168)))
        return
    crown = ((-100, 0, 110), (100, 0, 110), (0, -120, 130))
    for u, v, r in crown:
        pen.paint(DARK, pen.oval(u, v + 12, r + 6, r + 6))
    for u, v, r in crown:
        pen.paint(MAIN, pen.oval(u, v, r - 8, r - 8))
    for u, v, r in crown:
        pen.paint(LIGHT, pen.oval(u - r // 3, v - r // 3, r // 3, r // 3))
    if variant % 3 == 0:
        for u, v in ((-60, 10), (70, -60), (110, 40), (-20, -160)):
            pen.paint(LIP, pen.oval(u, v, 26, 26))


def _fish(pen: Pen, variant: int) -> None:
    pen.paint(
        DARK, pen.polygon((-90, 0), (-250, -130), (-205, 0)) | pen.polygon((-90, 0), (-205, 0), (-250, 130))
    )
    pen.paint(DARK, pen.polygon((-60, -80), (0, -190), (90, -80)))
    pen.paint(MAIN, pen.oval(50, 0, 195, 120))
    if variant % 3:
        for u in (-70, 0, 70)[: 1 + variant % 3]:
            pen.paint(LIGHT, pen.oval(50, 0, 195, 120) & pen.box(u, -120, u + 32, 120))
    pen.paint(DARK, pen.polygon((10, 20), (80, 30), (-10, 110)))
    pen.paint(WHITE, pen.oval(165, -32, 38, 38))
    pen.paint(BLACK, pen.oval(172, -32, 20, 20))
    pen.paint(LIP, pen.box(196, 30, 250, 46) & pen.oval(50, 0, 195, 120))


def _cup(pen: Pen, variant: int) -> None:
    handle = pen.oval(130, 40, 112, 104) & ~pen.oval(130, 40, 66, 58)
    pen.paint(DARK, handle)
    foot = 120 if variant % 2 else 146
    pen.paint(MAIN, pen.polygon((-200, -110), (150, -110), (foot - 25, 216), (-foot - 25, 216)))
    pen.paint(DARK, pen.oval(-25, 216, foot, 34))
    if variant % 3 == 0:
        pen.paint(LIGHT, pen.polygon((-192, 0), (142, 0), (136, 60), (-186, 60)))
    elif variant % 3 == 1:
        pen.paint(LIGHT, pen.oval(-25, 50, 60, 60))
    pen.paint(LIGHT, pen.oval(-25, -110, 176, 56))
    pen.paint(WOOD, pen.oval(-25, -106, 146, 40))
    for u in (-80, 10):
        pen.paint(
            WHITE, pen.stroke((u, -176), (u + 34, -206), 13) | pen.stroke((u + 34, -206), (u, -246), 13)
        )


def _flower(pen: Pen, variant: int) -> None:
    pen.paint(LEAF, pen.stroke((0, -60), (0, 250), 20))
    pen.paint(
        LEAF, pen.polygon((0, 190), (-130, 60), (-20, 110)) | pen.polygon((0, 220), (20, 140), (140, 90))
    )
    petals = ((0, -104), (90, -52), (90, 52), (0, 104), (-90, 52), (-90, -52))
    for number, (u, v) in enumerate(petals):
        shade = DARK if variant % 2 and number % 2 else MAIN
        pen.paint(shade, pen.oval(u, v - 84, 70, 70))
    for u, v in petals:
        pen.paint(LIGHT, pen.oval(u * 3 // 5, v * 3 // 5 - 84, 20, 20))
    pen.paint(YELLOW, pen.oval(0, -84, 52, 52))
    pen.paint(WOOD, pen.oval(0, -84, 22, 22))


def _boat(pen: Pen, variant: int) -> None:
    pen.paint(WOOD, pen.box(-26, -250, -6, 90))
    pen.paint(WHITE, pen.polygon((6, -236), (190, 60), (6, 60)))
    if variant % 2:
        pen.paint(LIGHT, pen.polygon((-38, -190), (-38, 60), (-190, 60)))
    else:
        pen.paint(MAIN, pen.polygon((6, -236), (70, -132), (6, -132)))
    pen.paint(MAIN, pen.polygon((-250, 84), (256, 84), (170, 216), (-176, 216)))
    pen.paint(LIGHT, pen.polygon((-250, 84), (256, 84), (240, 110), (-236, 110)))
    if variant % 3 == 0:
        for u in (-110, 0, 110):
            pen.paint(DARK, pen.oval(u, 150, 24, 24))


_SHAPES: dict[str, Callable[[Pen, int], None]] = {
    "face": _face,
    "person": _person,
    "house": _house,
    "word": _word,
    "car": _car,
    "tree": _tree,
    "fish": _fish,
    "cup": _cup,
    "flower": _flower,
    "boat": _boat,
}


@lru_cache(maxsize=8192)
def shade_map(category: str, variant: int, radius: int, tilt: int, mirrored: bool) -> np.ndarray:
    """(2 m, 2 m) uint8 read-only shades of one object, its centre in the middle.

    `radius` is in supersampled pixels.  A dark rim of one such pixel is laid around the object.
    """
    half = radius * 5 // 4 + 4
    odd = 2 * np.arange(-half, half, dtype=np.int64) + 1  # pixel centres, in half pixels
    cosine, sine = _TURNS[tilt]
    across, down = odd[None, :], odd[:, None]
    scale = 2 * radius * 1024
    u = (cosine * across + sine * down) * UNIT // scale
    v = (cosine * down - sine * across) * UNIT // scale
    flip = mirrored and category != "word"  # letters stay readable
    pen = Pen((-u if flip else u).astype(np.int32), v.astype(np.int32))
    _SHAPES[category](pen, variant)
    body = pen.shades != CLEAR
    grown = body.copy()
    grown[1:] |= body[:-1]
    grown[:-1] |= body[1:]
    grown[:, 1:] |= body[:, :-1]
    grown[:, :-1] |= body[:, 1:]
    pen.shades[grown & ~body] = OUTLINE
    pen.shades.flags.writeable = False
    return pen.shades
