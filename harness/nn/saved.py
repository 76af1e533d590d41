"""Keeping a voxel space beside a model that was fitted in it, so that any other is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..data import VoxelSpace
from ..errors import DataError

_NAMES = ("dataset", "subject", "mask", "n_voxels", "units", "voxels_sha")


def save_space(folder: Path, space: VoxelSpace) -> None:
    """Write what identifies `space` to ``space.json`` and ``valid.npy``; ROIs and ceilings stay out."""
    (folder / "space.json").write_text(json.dumps({name: getattr(space, name) for name in _NAMES}))
    np.save(folder / "valid.npy", space.valid, allow_pickle=False)


def load_space(folder: Path) -> VoxelSpace:
    """The space that :func:`save_space` wrote; ``sha`` is that of the original."""
    try:
        names = json.loads((folder / "space.json").read_text())
        valid = np.load(folder / "valid.npy", allow_pickle=False)
        return VoxelSpace(**names, valid=valid)
    except (OSError, ValueError, TypeError, EOFError) as problem:
        raise DataError(f"{folder} holds no saved voxel space ({problem}); fit the model again") from None
