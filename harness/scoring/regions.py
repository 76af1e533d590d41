"""Regions that scores are given for: all valid voxels, cortical groups, ROIs."""

from __future__ import annotations

import numpy as np

from ..data import VoxelSpace

ALL = "all voxels"
FEWEST = 3
"""Voxels that make a pattern; in smaller regions voxel scores only are given."""


def regions_of(space: VoxelSpace) -> dict[tuple[str, str], np.ndarray]:
    """(kind, name) -> (U,) membership of the valid voxels; regions without a valid voxel are left out.

    kind : ``all``, ``group`` or ``roi``.
    """
    members = {("all", ALL): np.ones(space.n_valid, bool)}
    for kind, table in (("group", space.groups), ("roi", space.rois)):
        members |= {(kind, name): np.asarray(m, bool)[space.valid] for name, m in table.items()}
    return {key: inside for key, inside in members.items() if inside.any()}
