"""What each simulated voxel is tuned to: receptive fields, channels and content.

Positions are in pixels from the upper left corner of the 64 x 64 image; `cells` (V, 2) are the columns
and rows of an area's voxels on its own piece of sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .energy import FREQUENCIES, GRID, N_CHANNELS, OPPONENT, ORIENTATIONS, SIDE
from .scenes import BACKGROUNDS, CATEGORIES, COLORS, Scene
from .sheet import smooth_fields, white

_REACH = 36.0  # largest eccentricity in pixels
_SIZES = {"V1": (2.0, 0.06), "V2": (2.8, 0.09), "V3": (4.0, 0.12), "hV4": (6.0, 0.18)}
"""pRF SD at the fovea and its growth per pixel of eccentricity, rising along the hierarchy."""
_LENGTH = 3.0  # voxels over which tuning varies

CONTENT = (
    *(f"presence {name}" for name in CATEGORIES),
    *(f"size {name}" for name in CATEGORIES),
    *(f"across {name}" for name in CATEGORIES),
    *(f"down {name}" for name in CATEGORIES),
    *(f"color {name}" for name in COLORS),
    *(f"background {name}" for name in BACKGROUNDS),
)
"""Entries of :func:`content`."""

_PREFERENCES: dict[str, dict[str, float]] = {
    "FFA": {"face": 1.0, "person": 0.35},
    "EBA": {"person": 1.0, "face": 0.3},
    "PPA": {"house": 1.0, "tree": 0.2, "boat": 0.2},
    "VWFA": {"word": 1.0},
    "LO": {"car": 0.5, "cup": 0.5, "fish": 0.5, "flower": 0.5, "boat": 0.5, "tree": 0.4, "house": 0.3},
}
_BACKGROUND_GAIN = {"PPA": 0.4}


@dataclass(frozen=True)
class ReceptiveFields:
    """Population receptive fields of V voxels: weights (V, 256) that sum to 1, and eccentricity (V,)."""

    weights: np.ndarray
    eccentricity: np.ndarray


def receptive_fields(area: str, cells: np.ndarray, *, name: str) -> ReceptiveFields:
    """Retinotopy of one area: columns run from the fovea outwards, rows around the fixation point.

    V2 and hV4 mirror V1 and V3, as neighbouring field maps do.
    """
    share = (cells + 0.5) / (cells.max(axis=0) + 1.0)
    jitter = smooth_fields(cells, 3, length=_LENGTH, name=f"{name}|retinotopy")
    outward, around = np.clip(share[:, 0] + 0.03 * jitter[:, 0], 0, 1), share[:, 1] + 0.02 * jitter[:, 1]
    if area in ("V2", "hV4"):
        around = 1.0 - around
    turn = white(1, 1, name=f"{name.partition('|')[0]}|turn")[0, 0]
    eccentricity = _REACH * np.expm1(1.6 * outward) / np.expm1(1.6)
    angle = 2 * np.pi * around + 0.3 * turn
    centre = (SIDE - 1) / 2
    x, y = centre + eccentricity * np.cos(angle), centre + eccentricity * np.sin(angle)
    base, growth = _SIZES[area]
    sd = (base + growth * eccentricity) * np.exp(0.12 * jitter[:, 2])
    middle = (np.arange(GRID) + 0.5) * SIDE / GRID - 0.5
    across = np.exp(-((middle - np.clip(x, 0, SIDE - 1)[:, None]) ** 2) / (2 * sd[:, None] ** 2))
    down = np.exp(-((middle - np.clip(y, 0, SIDE - 1)[:, None]) ** 2) / (2 * sd[:, None] ** 2))
    weights = (down[:, :, None] * across[:, None, :]).reshape(len(cells), GRID * GRID)
    return ReceptiveFields(weights / weights.sum(axis=1, keepdims=True), eccentricity)


def early_weights(area: str, fields: ReceptiveFields, cells: np.ndarray, *, name: str) -> np.ndarray:
    """(V, channels x grid) non-negative weights: orientation, frequency and colour preference."""
    maps = smooth_fields(cells, 4 + len(OPPONENT), length=_LENGTH, name=f"{name}|tuning")
    preferred = np.arctan2(maps[:, 0], maps[:, 1])  # twice the preferred orientation
    orientation = np.exp(1.2 * (np.cos(preferred[:, None] - 2 * np.deg2rad(ORIENTATIONS)) - 1))
    finest = np.log2(FREQUENCIES[-1]) - 1.2 * fields.eccentricity / _REACH - (0.5 if area == "V2" else 0.0)
    octaves = finest + 0.5 * maps[:, 2]
    frequency = np.exp(-((np.log2(FREQUENCIES) - octaves[:, None]) ** 2) / (2 * 0.8**2))
    gabor = (frequency[:, :, None] * orientation[:, None, :]).reshape(len(cells), -1)
    color = np.exp(0.9 * maps[:, 4:])
    chroma = 1 / (1 + np.exp(1.0 - 1.5 * maps[:, 3]))[:, None]  # from orientation cells to colour cells
    channels = np.concatenate(
        [
            (1 - chroma) * gabor / gabor.sum(axis=1, keepdims=True),
            chroma * color / color.sum(axis=1, keepdims=True),
        ],
        axis=1,
    )
    return _spread(channels, fields)


def middle_weights(area: str, fields: ReceptiveFields, cells: np.ndarray, *, name: str) -> np.ndarray:
    """(2, V, channels x grid) signed weights of two mixtures; hV4 leans to colour."""
    out = []
    for number in range(2):
        mix = smooth_fields(cells, N_CHANNELS, length=_LENGTH, name=f"{name}|mix{number}")
        mix += 0.35 * white(len(cells), N_CHANNELS, name=f"{name}|grain{number}")
        mix[:, -len(OPPONENT) :] *= 1.1 if area == "hV4" else 0.6
        out.append(_spread(mix, fields))
    return np.stack(out)


def _spread(channels: np.ndarray, fields: ReceptiveFields) -> np.ndarray:
    return (channels[:, :, None] * fields.weights[:, None, :]).reshape(len(channels), -1)


def content(scenes: Sequence[Scene]) -> np.ndarray:
    """(n, len(CONTENT)) float64: what each scene holds, without looking at its pixels.

    Presence 0 or 1; size as radius over 16 pixels; place from -1 to 1, 0 where absent; a colour by the
    area that wears it; one background.
    """
    out = np.zeros((len(scenes), len(CONTENT)))
    n = len(CATEGORIES)
    for row, scene in zip(out, scenes):
        for item in scene.objects:
            k = CATEGORIES.index(item.category)
            row[k] = 1.0
            row[n + k] = item.radius / 16.0
            row[2 * n + k] = (item.x - 31.5) / 31.5
            row[3 * n + k] = (item.y - 31.5) / 31.5
            row[4 * n + COLORS.index(item.color)] += (item.radius / 16.0) ** 2
        row[4 * n + len(COLORS) + BACKGROUNDS.index(scene.background)] = 1.0
    return out


def liking(area: str) -> np.ndarray:
    """(10,) how much an area responds to each category, 1 for its own."""
    return np.array([_PREFERENCES[area].get(category, 0.0) for category in CATEGORIES])


@dataclass(frozen=True)
class HigherTuning:
    """Content tuning of V voxels of one area.

    weights : (D, V) drive of each entry of :data:`CONTENT`.  threshold : (V,).  exponent : (V,) of
    the rectified drive.  pairs : (V, 2) entries whose product adds to it, with `gain` (V,).
    """

    weights: np.ndarray
    threshold: np.ndarray
    exponent: np.ndarray
    pairs: np.ndarray
    gain: np.ndarray

    def respond(self, seen: np.ndarray) -> np.ndarray:
        """(n, V) responses to content `seen` (n, D)."""
        drive = np.maximum(seen @ self.weights - self.threshold, 0.0) ** self.exponent
        together = np.maximum(seen[:, self.pairs[:, 0]], 0.0) * np.maximum(seen[:, self.pairs[:, 1]], 0.0)
        return drive + self.gain * together


def higher_tuning(area: str, cells: np.ndarray, *, name: str) -> HigherTuning:
    """Tuning of one category-selective area: its categories, few others, place, size, background."""
    n_voxels, n = len(cells), len(CATEGORIES)

    def fields(count: int, what: str) -> np.ndarray:
        smooth = smooth_fields(cells, count, length=_LENGTH, name=f"{name}|{what}")
        return 0.9 * smooth + 0.45 * white(n_voxels, count, name=f"{name}|{what}|grain")

    sparse = np.maximum(np.abs(fields(n, "others")) - 1.0, 0.0) * 0.8
    presence = liking(area) * np.exp(0.45 * fields(n, "liking")) + sparse
    size = presence * np.clip(0.6 + 0.5 * fields(n, "size"), 0.0, None)
    across = presence * 1.2 * fields(1, "across")
    down = presence * 0.8 * fields(1, "down")
    color = 0.35 * np.maximum(np.abs(fields(len(COLORS), "color")) - 0.8, 0.0)
    background = _BACKGROUND_GAIN.get(area, 0.2) * fields(len(BACKGROUNDS), "background")
    weights = np.concatenate([presence, size, across, down, color, background], axis=1).T
    favourite = np.argmax(presence, axis=1)
    partners = np.argmax(fields(len(CONTENT), "partner")[:, 4 * n :], axis=1) + 4 * n
    return HigherTuning(
        weights=weights,
        threshold=0.1 + 0.1 * fields(1, "threshold")[:, 0],
        exponent=np.clip(0.9 + 0.2 * fields(1, "exponent")[:, 0], 0.5, 1.5),
        pairs=np.stack([favourite, partners], axis=1),
        gain=0.5 * np.maximum(fields(1, "gain")[:, 0], 0.0),
    )
