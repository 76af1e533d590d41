"""The cortical sheet: where each voxel lies, in which order, and fields that vary smoothly over it.

Every area is a rectangular patch of voxels.  Voxels are numbered along strips of four columns, back
and forth, so that neighbours in the response vector are neighbours on the sheet and any run of
voxels covers a compact piece.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from .words import normals, uniforms, words

STRIP = 4
SPACING = 1.8
"""Millimetres between neighbouring voxels."""
_WAVES = 96


def patch(n_voxels: int) -> np.ndarray:
    """(n, 2) integer (column, row) of the voxels of one area, in their order; steps have length 1."""
    width = STRIP * max(1, round(math.sqrt(n_voxels) / STRIP))
    height = math.ceil(n_voxels / width) | 1  # odd: a strip that starts on its left ends on its right
    cells = []
    for number, strip in enumerate(range(0, width, STRIP)):
        rows = range(height) if number % 2 == 0 else range(height - 1, -1, -1)
        for turn, row in enumerate(rows):
            columns = range(strip, strip + STRIP)
            cells += [(column, row) for column in (columns if turn % 2 == 0 else reversed(columns))]
    return np.array(cells[:n_voxels])


def smooth_fields(coordinates: np.ndarray, count: int, *, length: float, name: str) -> np.ndarray:
    """(V, count) Gaussian random fields over `coordinates` (V, 2), about zero with unit variance.

    `length` is the SD of the squared-exponential kernel in the unit of `coordinates`; fields are sums
    of random plane waves (Rahimi & Recht 2007).
    """
    fields = np.empty((len(coordinates), count))
    for number in range(count):
        frequency = normals(words(name, number, 2 * _WAVES)).reshape(_WAVES, 2) / length
        phase = 2 * np.pi * uniforms(words(name, number, _WAVES, stream=1))
        waves = coordinates[:, :1] * frequency[:, 0] + coordinates[:, 1:] * frequency[:, 1] + phase
        fields[:, number] = np.cos(waves).sum(axis=1) * math.sqrt(2.0 / _WAVES)
    return fields


def white(n_voxels: int, count: int, *, name: str) -> np.ndarray:
    """(V, count) independent standard normal values."""
    length = n_voxels + n_voxels % 2
    return np.stack([normals(words(name, k, length))[:n_voxels] for k in range(count)], axis=1)


def normal_scores(values: np.ndarray) -> np.ndarray:
    """`values` (n,) replaced by the standard normal quantiles of their ranks (Blom 1958)."""
    n = len(values)
    quantiles = np.array([NormalDist().inv_cdf((rank + 0.625) / (n + 0.25)) for rank in range(n)])
    scores = np.empty(n)
    scores[np.argsort(values, kind="stable")] = quantiles
    return scores
