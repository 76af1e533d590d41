"""Stage score, resampled: what a run keeps so that encoders can be compared without their predictions.

A voxel score is no mean over images, so its interval and its differences cannot be had from values per
image.  For each region the run keeps two lists of numbers of the mean over the region's voxels:

* its bootstrap *draws*: the score of the same images drawn with replacement, every voxel's score being
  computed again.  What is drawn follows from the ids of the test images alone, so runs on the same
  images share their draws, and draws of a difference are differences of draws;
* the *contribution* of each image: with t the score and t_i the score without image i, of N images,
  t + (N - 1) (mean(t_j) - t_i), the jackknife's estimate of the influence of image i on top of the
  score (Efron & Tibshirani 1993, ch. 11).  Their mean is the score, and to first order the score of a
  resample is the mean of their resample, which is what a test by sign flips needs.

Only scores that are functions of moments across images (:mod:`harness.metrics.moments`) are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import SubjectData
from ..identity import module_sha, plain
from ..metrics.moments import STATISTICS, Moments
from ..nn.constancy import constant_columns
from ..statistics import bootstrap_weights, drawn_interval
from ..store import Artifact, Store, save_array
from .score_regions import ALL, regions_of
from .score_responses import ResponseTarget

DRAWS = 1000
BLOCK = 512
"""Voxels at once: moments of 1,000 draws are 4 MB each."""

VOXEL_R = "voxel-r@1"


@dataclass(frozen=True)
class RegionDraws:
    """Mean over a region's voxels of one metric (``name@version``) for one row.

    n_voxels : with a value, which may be fewer than are valid; draws : (D,); contributions : (N,) in
    the order of the test images, NaN for a single image.
    """

    metric: str
    row: str
    region: str
    kind: str
    n_voxels: int
    value: float
    draws: np.ndarray
    contributions: np.ndarray


def draw_regions(
    metrics: Collection[str],
    rows: Mapping[str, np.ndarray],
    target: ResponseTarget,
    data: SubjectData,
    *,
    store: Store,
    draws: int = DRAWS,
) -> list[RegionDraws]:
    """Draws of those `metrics` that moments give, for `rows` (N, V) that differ between images."""
    regions, ids = regions_of(data.space), data.test.stimuli.ids
    names = [name for name in STATISTICS if name in metrics]
    found = []
    for row, predicted in rows.items():
        if not names or constant_columns(predicted).all():
            continue
        made = _resampled(names, predicted, target, regions, ids, draws, store)
        parts = [made.array(name) for name in ("values", "counts", "draws", "contributions")]
        for k, name in enumerate(names):
            for j, (kind, region) in enumerate(regions):
                value, voxels, drawn, contributions = (part[k, j] for part in parts)
                found.append(
                    RegionDraws(name, row, region, kind, int(voxels), float(value), drawn, contributions)
                )
    return found


def voxel_r_intervals(
    drawn: Sequence[RegionDraws], rows: Collection[str]
) -> dict[str, tuple[float, float, float]]:
    """Row -> (mean voxel r, low, high) over all valid voxels; 0 for rows that do not vary over images."""
    found = {row: (0.0, 0.0, 0.0) for row in rows}
    for one in drawn:
        if (one.metric, one.kind, one.region) == (VOXEL_R, "all", ALL):
            interval = drawn_interval(one.value, one.draws, len(one.contributions))
            found[one.row] = (interval.mean, interval.low, interval.high)
    return found


def draw_seed(ids: Sequence[str]) -> int:
    """Seed of the draws for images with these `ids`, in whatever order."""
    return int.from_bytes(hashlib.sha256("\n".join(sorted(ids)).encode()).digest()[:8], "big")


def resample_regions(
    names: Sequence[str],
    predicted: np.ndarray,
    measured: np.ndarray,
    members: np.ndarray,
    weights: np.ndarray,
    *,
    ceiling: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Means over regions of the metrics `names` (M of them), for D resamples and without each image.

    predicted, measured : (N, U); members : (R, U) bool; weights : (D, N) copies of each image.
    Returns values and counts (M, R), draws (M, R, D), contributions (M, R, N).  A voxel without a
    value in a resample is left out of that resample's mean.
    """
    n, voxels = measured.shape
    all_weights = np.concatenate([np.ones((1, n)), weights]).astype(np.float64)
    all_weights /= all_weights.sum(axis=1, keepdims=True)
    sizes = {"drawn": len(all_weights), "left": n if n > 1 else 0}
    sums = {part: np.zeros((len(names), size, len(members))) for part, size in sizes.items()}
    counts = {part: np.zeros_like(array) for part, array in sums.items()}
    for start in range(0, voxels, BLOCK):
        here = slice(start, start + BLOCK)
        x, y, inside = predicted[:, here], measured[:, here], members[:, here].T.astype(np.float64)
        known_ceiling = None if ceiling is None else ceiling[here]
        moments = {"drawn": Moments.weighted(x, y, all_weights)}
        if n > 1:
            moments["left"] = Moments.leave_one_out(x, y)
        for part, of in moments.items():
            for k, name in enumerate(names):
                values = STATISTICS[name](of, known_ceiling)
                known = np.isfinite(values)
                sums[part][k] += np.where(known, values, 0.0) @ inside
                counts[part][k] += inside.sum(axis=0) if known.all() else known.astype(np.float64) @ inside
    means = {
        part: np.divide(
            sums[part], counts[part], out=np.full(sums[part].shape, np.nan), where=counts[part] > 0
        )
        for part in sums
    }
    drawn, left = (np.moveaxis(means[part], 1, 2) for part in ("drawn", "left"))
    values = drawn[..., 0]
    if n > 1:
        contributions = values[..., None] + (n - 1) * (left.mean(axis=2, keepdims=True) - left)
    else:
        contributions = np.full((*values.shape, n), np.nan)
    return {
        "values": values,
        "counts": counts["drawn"][:, 0],
        "draws": drawn[..., 1:],
        "contributions": contributions,
    }


def _resampled(
    names: Sequence[str],
    predicted: np.ndarray,
    target: ResponseTarget,
    regions: Mapping[tuple[str, str], np.ndarray],
    ids: Sequence[str],
    draws: int,
    store: Store,
) -> Artifact:
    ingredients = {
        "what": "draws of regions",
        "metrics": list(names),
        "predicted": target.identity_of(predicted),
        "target": target.sha,
        "regions": [[kind, name, plain(members)] for (kind, name), members in regions.items()],
        "seed": draw_seed(ids),
        "draws": draws,
        "stage": [module_sha(__name__), module_sha(Moments.__module__)],
    }

    def make(folder: Path) -> None:
        order = np.argsort(np.asarray(ids, str), kind="stable")
        weights = np.empty((draws, len(ids)), np.float32)
        weights[:, order] = bootstrap_weights(len(ids), draws=draws, seed=draw_seed(ids))
        found = resample_regions(
            names,
            predicted[:, target.valid],
            target.measured,
            np.stack([*regions.values()]),
            weights,
            ceiling=target.ceiling,
        )
        for name, array in found.items():
            exact = name in ("values", "counts")
            save_array(folder, name, array.astype(np.float64 if exact else np.float32))

    return store.get("score", ingredients, make)
