"""Pictures of values on a cortex: triangles of a surface seen from several sides, or voxels as dots.

Drawn by Pillow alone, the far triangles first (painter's algorithm), so that a report needs neither a
browser's graphics nor a plotting library.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .drawing import DIVERGING

SIDE = 300
"""Pixels of one view."""

SEQUENTIAL = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725")
"""Viridis (van der Walt and Smith 2015)."""

_PAPER, _INK = (255, 255, 255), (40, 40, 40)

VIEWS = {
    "left": (("lateral", 0, -1), ("medial", 0, 1), ("ventral", 2, -1)),
    "right": (("medial", 0, -1), ("lateral", 0, 1), ("ventral", 2, -1)),
}
"""Half of the cortex -> views: name, axis along which it is seen and the side from which (-1 or 1)."""


@dataclass(frozen=True)
class Scale:
    """Values `low` to `high` as colours from the first to the last of `stops`."""

    low: float
    high: float
    stops: Sequence[str]

    @classmethod
    def of(cls, values: np.ndarray, *, signed: bool) -> Scale:
        """From 0 to the 99th percentile, or as far below 0 as above where values are `signed`."""
        strengths = np.abs(values[np.isfinite(values)])
        most = float(np.percentile(strengths, 99)) if len(strengths) else 1.0
        most = most or 1.0
        return cls(-most, most, DIVERGING) if signed else cls(0.0, most, SEQUENTIAL)

    def colours(self, values: np.ndarray) -> np.ndarray:
        """(n,) finite -> (n, 3) uint8."""
        stops = np.array([[int(stop[k : k + 2], 16) for k in (1, 3, 5)] for stop in self.stops], np.float64)
        place = np.clip((values - self.low) / (self.high - self.low), 0, 1) * (len(stops) - 1)
        first = np.minimum(place.astype(int), len(stops) - 2)
        share = (place - first)[:, None]
        return np.round(stops[first] * (1 - share) + stops[first + 1] * share).astype(np.uint8)


@dataclass(frozen=True)
class Surface:
    """One half of a cortex: vertices (n, 3), triangles (m, 3), depth of the sulci (n,)."""

    vertices: np.ndarray
    triangles: np.ndarray
    sulci: np.ndarray


def draw_surfaces(
    surfaces: dict[str, Surface], values: dict[str, np.ndarray], scale: Scale, *, title: str
) -> bytes:
    """PNG of both halves from three sides each; where `values` (n,) of a half are NaN the cortex is grey."""
    image, sheet = _sheet(2, 3)
    for row, (half, surface) in enumerate(surfaces.items()):
        colours = _triangle_colours(surface, values[half], scale)
        for column, (name, axis, side) in enumerate(VIEWS[half]):
            _draw_view(
                sheet,
                surface,
                colours,
                axis,
                side,
                at=(column * SIDE, 40 + row * SIDE),
                name=f"{half} {name}",
            )
    return _finished(image, sheet, scale, title)


def draw_dots(places: np.ndarray, values: np.ndarray, scale: Scale, *, title: str, size: float) -> bytes:
    """PNG of voxels as dots: a sheet (n, 2) from above, a volume (n, 3) from the left, behind and above.

    size : millimetres between neighbours.  Of dots behind each other the one of largest value is seen.
    """
    views = [("sheet", 0, 1)] if places.shape[1] == 2 else [("left", 1, 2), ("behind", 0, 2), ("above", 0, 1)]
    image, sheet = _sheet(1, len(views))
    order = np.argsort(np.abs(values), kind="stable")
    order = order[np.isfinite(values[order])]
    colours = scale.colours(values[order])
    for column, (name, across, up) in enumerate(views):
        flat = places[:, [across, up]]
        pixels, unit = _fitted(flat, at=(column * SIDE, 40))
        radius = max(1.0, size * unit / 2)
        for (x, y), colour in zip(pixels[order], colours):
            sheet.rectangle((x - radius, y - radius, x + radius, y + radius), fill=tuple(map(int, colour)))
        sheet.text((column * SIDE + 8, 42), name, fill=_INK)
    return _finished(image, sheet, scale, title)


def _triangle_colours(surface: Surface, values: np.ndarray, scale: Scale) -> np.ndarray:
    """(m, 3) uint8: the mean of the corners that have a value; else grey by the depth of the sulci."""
    corners = values[surface.triangles]
    finite = np.isfinite(corners)
    sulcus = surface.sulci[surface.triangles].mean(axis=1) > 0
    colours = np.where(sulcus[:, None], 165, 205).astype(np.uint8).repeat(3, axis=1)
    some = finite.any(axis=1)
    means = np.where(finite, corners, 0).sum(axis=1)[some] / finite.sum(axis=1)[some]
    colours[some] = scale.colours(means)
    return colours


def _draw_view(
    sheet: Any, surface: Surface, colours: np.ndarray, axis: int, side: int, *, at: tuple[int, int], name: str
) -> None:
    across, up = ((1, 2), (0, 2), (0, 1))[axis]
    flat = surface.vertices[:, [across, up]].astype(np.float64)
    flat[:, 0] *= side  # from the left (side -1) the front lies to the left; from below, left to the right
    pixels, _ = _fitted(flat, at=at)
    depth = surface.vertices[surface.triangles, axis].mean(axis=1) * side
    for k in np.argsort(depth, kind="stable"):
        corners = [tuple(pixels[vertex]) for vertex in surface.triangles[k]]
        sheet.polygon(corners, fill=tuple(map(int, colours[k])))
    sheet.text((at[0] + 8, at[1] + 2), name, fill=_INK)


def _fitted(flat: np.ndarray, *, at: tuple[int, int]) -> tuple[np.ndarray, float]:
    """(n, 2) pixels in the square at `at`, upwards up, and pixels of a millimetre."""
    low, high = flat.min(axis=0), flat.max(axis=0)
    unit = (SIDE - 40) / max(float((high - low).max()), 1e-9)
    pixels = (flat - (low + high) / 2) * unit
    return np.stack([at[0] + SIDE / 2 + pixels[:, 0], at[1] + SIDE / 2 - pixels[:, 1]], axis=1), unit


def _sheet(rows: int, columns: int) -> tuple[Any, Any]:
    """An empty picture for so many views, and its brush."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (columns * SIDE, rows * SIDE + 90), _PAPER)
    return image, ImageDraw.Draw(image)


def _finished(image: Any, sheet: Any, scale: Scale, title: str) -> bytes:
    """The PNG with its title and its bar of colours."""
    width, height = image.size
    sheet.text((8, 8), title, fill=_INK)
    left, wide, top = 60, min(240, width - 140), height - 34
    for x, colour in enumerate(scale.colours(np.linspace(scale.low, scale.high, wide))):
        sheet.line((left + x, top, left + x, top + 12), fill=tuple(map(int, colour)))
    for x, value in ((8, scale.low), (left + wide + 8, scale.high)):
        sheet.text((x, top), f"{value:.2f}", fill=_INK)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
