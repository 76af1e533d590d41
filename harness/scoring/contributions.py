"""Stage score, by image: what a run keeps so that encoders can be compared without their predictions.

A voxel score is no mean over images, so its interval and its differences cannot be had from values per
image.  For the mean over each region's voxels the run keeps the *contribution* of every image: with t the
score and t_i the score without image i, of N images,

    t + (N - 1) (mean(t_j) - t_i),

the jackknife's estimate of the influence of image i on top of the score (Efron & Tibshirani 1993, ch. 11).
Their mean is the score, and to first order the score of other images is the mean of their contributions.
That is what intervals and tests by sign flips need (:mod:`harness.statistics.contributed`).

Only scores that are functions of moments across images (:mod:`harness.metrics.moments`) are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import SubjectData
from ..metrics.moments import STATISTICS, Moments
from ..nn.constancy import constant_columns
from ..statistics import contributed_interval
from ..storage.identity import module_sha, plain
from ..storage.store import Artifact, Store, save_array
from .regions import ALL, regions_of
from .response_target import ResponseTarget

BLOCK = 512
"""Voxels at once: moments without each of 1,000 images are 4 MB each."""

VOXEL_R = "voxel-r@1"


@dataclass(frozen=True)
class Contributions:
    """Mean over a region's voxels of one metric (``name@version``) for one row.

    n_voxels : with a value, which may be fewer than are valid; contributions : (N,) in the order of the
    test images, NaN for a single image.
    """

    metric: str
    row: str
    region: str
    kind: str
    n_voxels: int
    value: float
    contributions: np.ndarray


def region_contributions(
    metrics: Collection[str],
    rows: Mapping[str, np.ndarray],
    target: ResponseTarget,
    data: SubjectData,
    *,
    store: Store,
) -> list[Contributions]:
    """Contributions to those `metrics` that moments give, for `rows` (N, V) that differ between images."""
    regions = regions_of(data.space)
    names = [name for name in STATISTICS if name in metrics]
    parts_of_rows = []
    for row, predicted in rows.items():
        if not names or constant_columns(predicted).all():
            continue
        artifact = _contributed(names, predicted, target, regions, store)
        parts = [artifact.array(name) for name in ("values", "counts", "contributions")]
        for k, name in enumerate(names):
            for j, (kind, region) in enumerate(regions):
                value, voxels, contributions = (part[k, j] for part in parts)
                parts_of_rows.append(
                    Contributions(name, row, region, kind, int(voxels), float(value), contributions)
                )
    return parts_of_rows


def voxel_r_intervals(
    kept: Sequence[Contributions], rows: Collection[str]
) -> dict[str, tuple[float, float, float]]:
    """Row -> (mean voxel r, low, high) over all valid voxels; 0 for rows that do not vary over images."""
    bounds = {row: (0.0, 0.0, 0.0) for row in rows}
    for line in kept:
        if (line.metric, line.kind, line.region) == (VOXEL_R, "all", ALL):
            interval = contributed_interval(line.value, line.contributions)
            bounds[line.row] = (interval.mean, interval.low, interval.high)
    return bounds


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


def _contributed(
    names: Sequence[str],
    predicted: np.ndarray,
    target: ResponseTarget,
    regions: Mapping[tuple[str, str], np.ndarray],
    store: Store,
) -> Artifact:
    ingredients = {
        "what": "contributions to regions",
        "metrics": list(names),
        "predicted": target.identity_of(predicted),
        "target": target.sha,
        "regions": [[kind, name, plain(members)] for (kind, name), members in regions.items()],
        "stage": [module_sha(__name__), module_sha(Moments.__module__)],
    }

    def make(folder: Path) -> None:
        arrays = contribute(
            names,
            predicted[:, target.valid],
            target.measured,
            np.stack([*regions.values()]),
            ceiling=target.ceiling,
        )
        for name, array in arrays.items():
            exact = name in ("values", "counts")
            save_array(folder, name, array.astype(np.float64 if exact else np.float32))

    return store.get("score", ingredients, make)
