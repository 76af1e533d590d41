"""Named arrays of ``.mat`` (v4 to v7.3), ``.npz``, ``.npy``, ``.h5``/``.hdf5`` and ``.txt`` files.

Shapes and classes are those that the program which wrote the file shows: a v7.3 file stores
MATLAB's column-major arrays with their axes reversed (HDF5 is row-major), which is undone here, and
a double that MATLAB packed into bytes is a double again.  Nothing pickled is ever unpickled: object
arrays and MATLAB objects are refused.  Whatever is wrong with a file is a :class:`DataError`.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import numpy as np

from ..errors import DataError
from .formats import LISTERS, OPENERS
from .sources import ArrayInfo, ArraySource, Hdf5Array, MemoryArray, NpyArray, reading

__all__ = [
    "ArrayInfo",
    "ArraySource",
    "Hdf5Array",
    "MemoryArray",
    "NpyArray",
    "as_integers",
    "as_names",
    "as_vector",
    "describe",
    "open_array",
    "split_reference",
]

SUFFIXES = (".mat", ".npz", ".npy", ".h5", ".hdf5", ".txt")
_REFUSED = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".nii.gz", ".nii", ".mgh", ".csv")
_REFERENCE = re.compile(
    "(?P<file>.+?(?:" + "|".join(map(re.escape, (*SUFFIXES, *_REFUSED))) + "))(?::(?P<key>.+))?$", re.I
)
_SHOWN = 12


def split_reference(reference: str) -> tuple[str, str]:
    """``"betas.h5:run1/betas"`` -> file and key; a bare key has file ``""``, a bare file key ``""``."""
    match = _REFERENCE.match(reference)
    return (match["file"], match["key"] or "") if match else ("", reference)


def describe(path: str | Path) -> list[ArrayInfo]:
    """Every array of a file with its shape and dtype or MATLAB class, by name.

    Arrays inside MATLAB structures and HDF5 groups are named with slashes.
    """
    path = _existing(Path(path))
    with reading(path):
        return sorted(LISTERS[_kind(path)](path), key=lambda info: info.name)


def open_array(path: str | Path, key: str = "") -> ArraySource:
    """The array `key` of a file, lazily where the format allows; without `key`, the only one.

    ``.npy`` is memory-mapped, HDF5 read on demand, the others are read at once.  Raises
    :class:`DataError` for a file or key that is absent, empty, damaged, pickled or unsupported.
    """
    path = _existing(Path(path))
    kind = _kind(path)
    with reading(path):
        found = OPENERS[kind](path, key if kind in ("npy", "txt") else _known_key(path, key))
    if 0 in found.shape:
        raise DataError(f"{found.what} is empty (shape {found.shape})")
    if found.dtype.kind not in "biufU":
        raise DataError(f"{found.what} holds {found.dtype}; expected real numbers, logicals or text")
    return found


def as_vector(source: ArraySource) -> np.ndarray:
    """The values of a vector; MATLAB's (N, 1) and (1, N) count as one, and so does a single value."""
    values = source.read()
    if sum(length != 1 for length in values.shape) > 1:
        raise DataError(f"{source.what} has shape {values.shape}; expected a vector")
    return values.ravel()


def as_integers(source: ArraySource) -> np.ndarray:
    """A vector of int64; numbers with a fraction and text are refused."""
    values = as_vector(source)
    if values.dtype.kind == "U":
        raise DataError(f"{source.what} holds text; expected whole numbers")
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        odd = values[values != np.round(values)][0]
        raise DataError(f"{source.what} holds {odd}; expected whole numbers")
    if values.dtype.kind == "f" and np.abs(values).max() > 2**53:
        raise DataError(f"{source.what} holds {np.abs(values).max():g}, too large for a whole number")
    return values.astype(np.int64)


def as_names(source: ArraySource) -> list[str]:
    """A vector as strings: text as it is, whole numbers without a decimal point."""
    if source.dtype.kind == "U":
        return [str(name).strip() for name in as_vector(source)]
    return [str(number) for number in as_integers(source)]


def _existing(path: Path) -> Path:
    if path.is_file():
        if not path.stat().st_size:
            raise DataError(f"{path} is empty (0 bytes); copy or export it again")
        return path
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected a file ({', '.join(SUFFIXES)})")
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.5)
    raise DataError(f"there is no file {path}" + (f"; did you mean '{near[0]}'?" if near else ""))


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib"):
        raise DataError(
            f"{path} is a pickle, which can run code when opened; save plain arrays, "
            "in Python: numpy.savez('data.npz', name=array)"
        )
    if suffix not in SUFFIXES:
        raise DataError(f"{path} has the ending '{path.suffix}'; expected one of {', '.join(SUFFIXES)}")
    if suffix == ".mat":
        import h5py

        with path.open("rb") as file:
            says_hdf5 = file.read(10) == b"MATLAB 7.3"
        return "hdf5" if says_hdf5 or h5py.is_hdf5(path) else "matlab5"
    return {".h5": "hdf5"}.get(suffix, suffix[1:])


def _known_key(path: Path, key: str) -> str:
    listed = describe(path)
    names = [info.name for info in listed]
    key = key.strip("/")
    if key in names:
        return key
    holds = "; ".join(map(str, listed[:_SHOWN])) + (
        f"; and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    )
    if not key and len(names) == 1:
        return names[0]
    if not key:
        raise DataError(f"{path} holds {len(names)} arrays, name one as '{path.name}:KEY'. It holds: {holds}")
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    raise DataError(f"{path} has no array '{key}'{hint} It holds: {holds or 'nothing'}")
