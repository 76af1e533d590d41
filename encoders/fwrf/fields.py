"""Pooling fields of the feature-weighted receptive field model: a grid of candidates and their weights.

St-Yves & Naselaris 2018 (doi 10.1016/j.neuroimage.2017.06.035); the grid and the pixel rule follow the
formulas of the authors' later notebooks (styvesg/nsd 1fdfca1), of which no code is here.
"""

from __future__ import annotations

import math

import numpy as np


def candidates(
    *, sizes: int, smallest: float, largest: float, spacing: float, aperture: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (S,) on a logarithmic grid, and all candidates (C, 3): x, y, sigma.

    aperture : side of the square of centres; along each axis of it lie ceil(aperture / (sigma * spacing))
        centres, both ends included.
    """
    if sizes == 1:
        sigmas = np.array([smallest])
    else:
        sigmas = np.exp(np.linspace(math.log(smallest), math.log(largest), sizes))
    rows = []
    for sigma in sigmas:
        count = math.ceil(aperture / (sigma * spacing))
        axis = np.linspace(-aperture / 2, aperture / 2, count)
        x, y = np.meshgrid(axis, axis)
        rows.append(np.stack([x.ravel(), y.ravel(), np.full(count**2, sigma)], axis=1))
    return sigmas, np.concatenate(rows)


def pooling_fields(models: np.ndarray, side: int, *, aperture: float = 1.0) -> np.ndarray:
    """(C, side, side) float32 weights of the pixels of a square map, rows from the top.

    A Gaussian density at the middle of the pixel times the pixel's area, or where the Gaussian is narrower
    than a pixel its integral over it.  Weights at the border do not sum to 1.
    """
    pixel = aperture / side
    middles = (np.arange(side) + 0.5) * pixel - aperture / 2
    out = np.empty((len(models), side, side), np.float32)
    for number, (x, y, sigma) in enumerate(np.asarray(models, np.float64)):
        if sigma < pixel:
            across, down = _integrals(middles - x, pixel, sigma), _integrals(-middles - y, pixel, sigma)
        else:
            across, down = _densities(middles - x, pixel, sigma), _densities(-middles - y, pixel, sigma)
        out[number] = np.outer(down, across)
    return out


def _densities(offset: np.ndarray, pixel: float, sigma: float) -> np.ndarray:
    return pixel * np.exp(-(offset**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))


def _integrals(offset: np.ndarray, pixel: float, sigma: float) -> np.ndarray:
    edges = np.stack([offset - pixel / 2, offset + pixel / 2]) / (sigma * math.sqrt(2))
    low, high = (np.array([math.erf(v) for v in row]) for row in edges)
    return (high - low) / 2
