"""Arrays by name from the files that people have: one reader for every door.

``.mat`` (v4 to v7.3), ``.npz``, ``.npy``, ``.h5``/``.hdf5``, ``.pt``/``.pth``, ``.csv``/``.tsv``, and lists
in ``.txt`` and ``.json``.  Shapes and classes are those that the program which wrote the file shows: a v7.3
file stores MATLAB's column-major arrays with their axes reversed (HDF5 is row-major), which is undone
here, and a double that MATLAB packed into bytes is a double again.  Nothing pickled is ever unpickled but
tensors and numpy's arrays of a ``.pt``: object arrays and MATLAB objects are refused.  Whatever is wrong
with a file is a :class:`DataError`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import DataError
from .hdf5 import hdf5_entries
from .ids import as_ids, require_ids
from .matlab import is_version_73, matlab_entries
from .plain_files import json_entries, npy_entries, npz_entries, txt_entries
from .present import existing_file
from .sources import ArrayInfo, ArraySource, Entry, Hdf5Array, MemoryArray, NpyArray, reading
from .tables import table_entries
from .torch_files import torch_entries

__all__ = [
    "ArrayFile",
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
    "sidecars",
    "split_reference",
]

BARE = ""
"""Key of an array that has no name in its file, and of the only array of one."""

_LISTERS = {
    ".npz": npz_entries,
    ".npy": npy_entries,
    ".h5": hdf5_entries,
    ".hdf5": hdf5_entries,
    ".pt": torch_entries,
    ".pth": torch_entries,
    ".csv": table_entries,
    ".tsv": table_entries,
    ".txt": txt_entries,
    ".json": json_entries,
}
SUFFIXES = (".mat", *_LISTERS)
_REFUSED = (".pkl", ".pickle", ".joblib", ".nii.gz", ".nii", ".mgh")
_REFERENCE = re.compile(
    "(?P<file>.+?(?:" + "|".join(map(re.escape, (*SUFFIXES, *_REFUSED))) + "))(?::(?P<key>.+))?$", re.I
)
_SHOWN = 12


def split_reference(reference: str) -> tuple[str, str]:
    """``"betas.h5:run1/betas"`` -> file and key; a bare key has file ``""``, a bare file key ``""``."""
    match = _REFERENCE.match(reference)
    return (match["file"], match["key"] or "") if match else ("", reference)


def describe(path: str | Path) -> list[ArrayInfo]:
    """Every array of a file by name, with its shape, dtype or MATLAB class, and what is wrong with it.

    Arrays inside MATLAB structures, HDF5 groups and dictionaries are named with slashes.
    """
    path = existing_file(path, expected=", ".join(SUFFIXES))
    with reading(path):
        return sorted((entry.described() for entry in _entries(path)), key=lambda info: info.name)


def open_array(path: str | Path, key: str = BARE) -> ArraySource:
    """The array `key` of a file, lazily where the format allows; without `key`, the only one.

    ``.npy`` and tensors are memory-mapped, HDF5 read on demand, the others are read at once.  Raises
    :class:`DataError` for a file or key that is absent, empty, damaged, pickled or unsupported.
    """
    path = existing_file(path, expected=", ".join(SUFFIXES))
    with reading(path):
        return _opened(_entry(path, _entries(path), key))


class ArrayFile:
    """The arrays of a file with ids: those under ``ids``, or beside the file (:func:`sidecars`).

    texts : names of arrays that hold names and are kept apart from the others.
    """

    def __init__(self, path: str | Path, texts: Sequence[str] = ("ids",)) -> None:
        self.path = existing_file(path, expected=", ".join(SUFFIXES))
        with reading(self.path):
            self._entries = _entries(self.path)
        held = {BARE if entry.info.bare else entry.info.name: entry for entry in self._entries}
        self._texts = {name: held.pop(name) for name in texts if name in held}
        self._arrays = held

    @cached_property
    def infos(self) -> dict[str, ArrayInfo]:
        """The arrays that are no texts, by key; one without a name is :data:`BARE`."""
        return {key: entry.info for key, entry in self._arrays.items()}

    @property
    def keys(self) -> str:
        """All names, for a message."""
        return ", ".join(key for key in (*self._arrays, *self._texts) if key) or "none"

    def open(self, key: str) -> ArraySource:
        """The array `key`, as :func:`open_array` gives it."""
        with reading(self.path):
            return _opened(self._arrays[key])

    def names(self, text: str) -> tuple[str, ...]:
        """The array of names `text`; none where the file has no such array."""
        if text not in self._texts:
            return ()
        with reading(self.path):
            return tuple(as_names(_opened(self._texts[text])))

    def ids(self, length: int, *, what: str) -> tuple[str, ...]:
        """The ids of the file's rows, from the file or from beside it.

        Raises
        ------
        DataError
            None, another number than `length`, one that is empty or occurs twice, or two lists that differ.
        """
        beside = [file for file in sidecars(self.path) if file.is_file()]
        lists = {str(file): tuple(as_names(open_array(file))) for file in beside}
        if "ids" in self._texts:
            lists = {str(self.path): self.names("ids"), **lists}
        if not lists:
            raise DataError(
                f"{self.path} says nothing of ids; put one id a line, in the order of its rows, into "
                f"{sidecars(self.path)[0].name}"
            )
        (place, ids), *others = lists.items()
        for other, differing in others:
            if differing != ids:
                raise DataError(f"{place} and {other} hold different ids; delete one of the lists")
        if len(ids) != length:
            raise DataError(f"{place}: {len(ids)} ids for {length} {what}")
        require_ids(ids, what=place)
        return ids


def sidecars(path: Path) -> tuple[Path, Path]:
    """Where ids may stand beside `path`: one a line, or as a list in JSON."""
    return path.with_suffix(".ids.txt"), path.with_suffix(".ids.json")


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
    """A vector of texts or numbers as ids (:mod:`harness.reading.ids`)."""
    return as_ids(as_vector(source), what=source.what)


def _entries(path: Path) -> list[Entry]:
    suffix = path.suffix.lower()
    if suffix in (".pkl", ".pickle", ".joblib"):
        raise DataError(
            f"{path} is a pickle, which can run code when opened; save plain arrays, "
            "in Python: numpy.savez('data.npz', name=array)"
        )
    if suffix not in SUFFIXES:
        raise DataError(f"{path} has the ending '{path.suffix}'; expected one of {', '.join(SUFFIXES)}")
    if suffix == ".mat":
        return hdf5_entries(path) if is_version_73(path) else matlab_entries(path)
    return _LISTERS[suffix](path)


def _opened(entry: Entry) -> ArraySource:
    source = entry.open()
    if 0 in source.shape:
        raise DataError(f"{source.what} is empty (shape {source.shape})")
    if source.dtype.kind == "S":
        try:
            source = MemoryArray(np.char.decode(source.read(), "utf-8"), source.what)
        except UnicodeDecodeError:
            raise DataError(f"{source.what} holds bytes that are not UTF-8; save them as text") from None
    if source.dtype.kind not in "biufU":
        raise DataError(f"{source.what} holds {source.dtype}; expected real numbers, logicals or text")
    return source


def _entry(path: Path, entries: Sequence[Entry], key: str) -> Entry:
    """The entry that `key` names, or the only one, or the one that needs no name."""
    named = {entry.info.name: entry for entry in entries if not entry.info.bare}
    bare = [entry for entry in entries if entry.info.bare]
    key = key.strip("/")
    if key in named:
        return named[key]
    if not key and (len(entries) == 1 or bare):
        return (bare or entries)[0]
    if not named and bare:
        raise DataError(f"{path} holds one array without a name; leave out ':{key}'")
    infos = [str(entry.info) for entry in sorted(entries, key=lambda entry: entry.info.name)]
    more = f"; and {len(infos) - _SHOWN} more" if len(infos) > _SHOWN else ""
    holds = "; ".join(infos[:_SHOWN]) + more or "nothing"
    if not key:
        raise DataError(
            f"{path} holds {len(entries)} arrays, name one as '{path.name}:KEY'. It holds: {holds}"
        )
    near = difflib.get_close_matches(key, named, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    raise DataError(f"{path} has no array '{key}'{hint} It holds: {holds}")
