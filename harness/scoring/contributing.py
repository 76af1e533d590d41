"""What each image contributes to the mean of voxel scores over regions: what makes that artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..metrics.moments import STATISTICS, Moments
from ..storage.content import save_array
from ..storage.references import Reference

BLOCK = 512
"""Voxels at once: moments without each of 1,000 images are 4 MB each."""


def write_contributions(
    folder: Path,
    names: Sequence[str],
    predicted: Reference,
    measured: Reference,
    members: np.ndarray,
    ceiling: np.ndarray | None,
) -> None:
    """Write what :func:`contribute` gives."""
    arrays = contribute(
        names, np.asarray(predicted.load()), np.asarray(measured.load()), members, ceiling=ceiling
    )
    for name, array in arrays.items():
        exact = name in ("values", "counts")
        save_array(folder, name, array.astype(np.float64 if exact else np.float32))


def contribute(
    names: Sequence[str],
    predicted: np.ndarray,
    measured: np.ndarray,
    members: np.ndarray,
    *,
    ceiling: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Means over regions of the metrics `names` (M of them), and what each image contributes.

    predicted, measured : (N, U); members : (R, U) bool.  Returns values and counts (M, R) and
    contributions (M, R, N).  A voxel without a value where an image is left out is left out of that mean.
    """
    n, voxels = measured.shape
    sizes = {"all": 1, "left": n if n > 1 else 0}
    sums = {part: np.zeros((len(names), size, len(members))) for part, size in sizes.items()}
    counts = {part: np.zeros_like(array) for part, array in sums.items()}
    for start in range(0, voxels, BLOCK):
        here = slice(start, start + BLOCK)
        x, y, inside = predicted[:, here], measured[:, here], members[:, here].T.astype(np.float64)
        own_ceiling = None if ceiling is None else ceiling[here]
        moments = {"all": Moments.weighted(x, y, np.full((1, n), 1 / n))}
        if n > 1:
            moments["left"] = Moments.leave_one_out(x, y)
        for part, of in moments.items():
            for k, name in enumerate(names):
                values = STATISTICS[name](of, own_ceiling)
                present = np.isfinite(values)
                sums[part][k] += np.where(present, values, 0.0) @ inside
                counts[part][k] += (
                    inside.sum(axis=0) if present.all() else present.astype(np.float64) @ inside
                )
    means = {
        part: np.divide(
            sums[part], counts[part], out=np.full(sums[part].shape, np.nan), where=counts[part] > 0
        )
        for part in sums
    }
    every, left = (np.moveaxis(means[part], 1, 2) for part in ("all", "left"))
    values = every[..., 0]
    if n > 1:
        contributions = values[..., None] + (n - 1) * (left.mean(axis=2, keepdims=True) - left)
    else:
        contributions = np.full((*values.shape, n), np.nan)
    return {"values": values, "counts": counts["all"][:, 0], "contributions": contributions}
