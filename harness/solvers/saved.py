"""Keeping models: files that appear whole, and the voxel space that a model was fitted in, so that any other
is refused."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..data import VoxelSpace
from ..errors import DataError

_NAMES = ("dataset", "subject", "mask", "n_voxels", "units", "voxels_sha")


@contextlib.contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """Yield another name to write to; on a clean exit it becomes `file`, else (a full disk) it goes.

    The folder of `file` is made; two processes that write the same file do not meet, on whatever machines.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.stem}.{uuid.uuid4().hex}.partial{file.suffix}")
    try:
        yield partial
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


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
