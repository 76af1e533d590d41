"""Brain volumes and surfaces: ``.nii``, ``.nii.gz``, ``.mgh``, ``.mgz``, through nibabel (extra ``nifti``).

A header is believed only as far as its file can hold what it claims, so that a lying one cannot ask for all
memory.  Values are those that the file means: its slope and intercept are applied where it has them, else
the stored type is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError
from .present import existing_file
from .room import DEFLATE_AT_BEST, require_room
from .sources import reading

ENDINGS = (".nii", ".nii.gz", ".mgh", ".mgz")


@dataclass(frozen=True)
class Volume:
    """What the header of a volume file says.

    shape : (X, Y, Z) or (X, Y, Z, T), or (vertices, 1, 1[, T]) of a surface; dtype : as it is stored;
    affine : (4, 4) voxel indices -> millimetres.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    affine: np.ndarray

    def read(self) -> np.ndarray:
        """All values, in the axes of :attr:`shape`."""
        require_room(math.prod(self.shape) * self.dtype.itemsize, what=str(self.path))
        with reading(self.path):
            return np.asarray(_image(self.path).dataobj)


def is_volume(path: Path) -> bool:
    """Whether `path` ends like a file that this module reads."""
    return path.name.lower().endswith(ENDINGS)


def open_volume(path: str | Path) -> Volume:
    """Read the header of a volume.

    Raises
    ------
    DataError
        The file is absent, damaged, or smaller than its header claims.
    ConfigError
        nibabel is not installed.
    """
    path = existing_file(path)
    with reading(path):
        image = _image(path)
        shape, dtype = tuple(int(n) for n in image.shape), np.dtype(image.get_data_dtype())
        affine = np.asarray(image.affine, np.float64)
    if min(shape, default=0) < 1 or dtype.kind not in "iuf":
        raise DataError(f"{path} claims shape {shape} of {dtype}; expected numbers")
    claimed, held = math.prod(shape) * dtype.itemsize, path.stat().st_size
    packed = path.name.lower().endswith(("gz", "mgz"))
    if claimed > held * (DEFLATE_AT_BEST if packed else 1):
        raise DataError(
            f"{path} claims {claimed:,} bytes of shape {shape} and holds {held:,} on disk; it is "
            f"truncated or "
            "damaged, copy or export it again"
        )
    return Volume(path, shape, dtype, affine)


def _image(path: Path) -> Any:
    try:
        import nibabel
    except ImportError:
        raise ConfigError(
            f"{path.name} needs nibabel; type: pip install 'fmri-harness[nifti]', or pip install nibabel"
        ) from None
    return nibabel.load(path)
