"""Files of the small folders: where a layout's manifest puts them, and their forms.

Paths come from the manifests, so that a manifest and its reader cannot part.
"""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import h5py
import nibabel
import numpy as np
from layout_experiment import GRID, experiment
from PIL import Image

from harness.benchmarks.layouts.manifest import read_manifest

_FIELD = re.compile(r"\{(\w+)(?::0(\d))?\}")


def path_of(layout: str, entry: str, root: Path, **values: str | int) -> Path:
    """Where the manifest puts a file, its folder made."""
    pattern = read_manifest(layout).entry(entry).path

    def filled(match: re.Match) -> str:
        value = values[match[1]]
        return f"{value:0{match[2]}d}" if match[2] else str(value)

    path = root / _FIELD.sub(filled, pattern)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def volume(values: np.ndarray, *, outside: float = -1) -> np.ndarray:
    """(V, ...) values of the mask's voxels in the grid, `outside` it another number."""
    mask = experiment().mask
    grid = np.full((*GRID, *values.shape[1:]), outside, values.dtype)
    grid[mask] = values
    return grid


def save_volume(path: Path, values: np.ndarray) -> None:
    affine = np.diag([1.8, 1.8, 1.8, 1.0])
    kind = nibabel.MGHImage if path.suffix in (".mgh", ".mgz") else nibabel.Nifti1Image
    nibabel.save(kind(values, affine), path)


def save_betas(path: Path, values: np.ndarray) -> None:
    """(X, Y, Z, T), as the ending of `path` says: a volume, or HDF5 with MATLAB's axes in reverse."""
    if path.suffix != ".hdf5":
        save_volume(path, values)
        return
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", data=values.T, chunks=(values.shape[-1], 1, 1, 1))


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def jpeg(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def write_tar(path: Path, samples: list[dict[str, bytes]], *, first: int = 0) -> None:
    with tarfile.open(path, "w") as archive:
        for k, sample in enumerate(samples, start=first):
            for name, content in sample.items():
                member = tarfile.TarInfo(f"sample{k:09d}.{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
