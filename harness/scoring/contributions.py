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
from typing import Any

import numpy as np

from ..data import SubjectData
from ..metrics.moments import STATISTICS
from ..nn.constancy import constant_columns
from ..statistics import contributed_interval
from ..storage.cached import Item, cached_map
from ..storage.executors import Executor
from ..storage.store import Store
from .contributing import write_contributions
from .regions import ALL, regions_of
from .response_target import ResponseTarget

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
    executor: Executor,
) -> list[Contributions]:
    """Contributions to those `metrics` that moments give, for `rows` (N, V) that differ between images."""
    regions = regions_of(data.space)
    names = [name for name in STATISTICS if name in metrics]
    shown = {row: p for row, p in rows.items() if names and not constant_columns(p).all()}
    members, measured = np.stack([*regions.values()]), executor.share(target.measured)
    valid = np.flatnonzero(target.valid)

    def item(predicted: np.ndarray) -> Item:
        def arguments() -> tuple[Any, ...]:
            here = executor.share(predicted[:, valid])
            return names, here, measured, members, target.ceiling

        return Item({"predicted": target.identity_of(predicted)}, arguments)

    artifacts = cached_map(
        "score",
        [item(predicted) for predicted in shown.values()],
        write_contributions,
        store=store,
        executor=executor,
        depends_on={
            "metrics": names,
            "target": target.sha,
            "regions": [[kind, name, inside] for (kind, name), inside in regions.items()],
        },
    )
    parts_of_rows = []
    for row, artifact in zip(shown, artifacts, strict=True):
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
