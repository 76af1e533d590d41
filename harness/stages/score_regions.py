"""Stage score, by region: every encoding score for each ROI and cortical group.

Voxel scores are averaged over a region's voxels.  Scores of images or of the whole set are computed
again from those voxels alone, and of rows that differ between images only: a constant prediction is
worth nothing everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..data import VoxelSpace
from ..nn.constancy import constant_columns
from ..store import Store
from .score import MetricRef
from .score_responses import HEADLINE, ResponseScore, ResponseTarget, evaluate

ALL = "all voxels"
FEWEST = 3
"""Voxels that make a pattern; in smaller regions voxel scores only are given."""


@dataclass(frozen=True)
class RegionScore:
    """One metric for one row and region; `part` names what of it, ``""`` the whole.

    kind : ``all``, ``group`` or ``roi``; n_voxels : voxels that it rests on.
    """

    metric: MetricRef
    row: str
    region: str
    kind: str
    part: str
    n_voxels: int
    value: float


def regions_of(space: VoxelSpace) -> dict[tuple[str, str], np.ndarray]:
    """(kind, name) -> (U,) membership of the valid voxels; regions without a valid voxel are left out."""
    found = {("all", ALL): np.ones(space.n_valid, bool)}
    for kind, table in (("group", space.groups), ("roi", space.rois)):
        found |= {(kind, name): np.asarray(m, bool)[space.valid] for name, m in table.items()}
    return {key: members for key, members in found.items() if members.any()}


def score_regions(
    metric: MetricRef,
    rows: Mapping[str, np.ndarray],
    scores: Sequence[ResponseScore],
    target: ResponseTarget,
    space: VoxelSpace,
    *,
    store: Store,
    draws: Mapping[str, np.ndarray] | None = None,
) -> list[RegionScore]:
    """`metric` for every row and region; `scores` are its scores over all voxels."""
    plugin = metric.load()
    found: list[RegionScore] = []
    if plugin.unit == "voxel":
        for (kind, name), members in regions_of(space).items():
            for score in scores:
                values = score.values[target.valid][members]
                scored = int(np.isfinite(values).sum())
                found.append(RegionScore(metric, score.row, name, kind, HEADLINE, scored, _mean(values)))
        return found
    if not getattr(plugin, "by_region", False):
        return found
    shown = {row: values for row, values in rows.items() if not constant_columns(values).all()}
    if getattr(plugin, "describes_measured", False):
        full = np.zeros((len(target.measured), len(target.valid)), np.float32)
        full[:, target.valid] = target.measured
        shown = {"measured": full, **shown}
    for (kind, name), members in regions_of(space).items():
        if (kind == "all" and plugin.unit == "region") or members.sum() < FEWEST:
            continue
        for row, predicted in shown.items():
            parts = evaluate(metric, row, predicted, target, store=store, draws=draws or {}, members=members)
            for part, values in (parts or {}).items():
                value = _mean(values[0] if values.ndim == 2 else values)
                found.append(RegionScore(metric, row, name, kind, part, int(members.sum()), value))
    return found


def _mean(values: np.ndarray) -> float:
    """Mean of what is not NaN; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
