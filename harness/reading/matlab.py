"""Arrays of MATLAB files of version 4 to 7 (:mod:`harness.reading.hdf5` reads 7.3), as MATLAB shows them."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import DataError
from .room import DEFLATE_AT_BEST, memory, require_room
from .sources import ArrayInfo, Entry, MemoryArray, reading

_HEADER = 128
"""Bytes before the first variable of a version 5 file (MAT-File Format, MathWorks, "Level 5")."""

_COMPRESSED = 15
"""Type of a variable that is packed (miCOMPRESSED)."""

_PART = 1 << 20
"""Bytes that are unpacked at a time."""


def is_version_73(path: Path) -> bool:
    """Whether a file is of the form that :mod:`harness.reading.hdf5` reads, or says so of itself."""
    import h5py

    with path.open("rb") as file:
        says_so = file.read(10) == b"MATLAB 7.3"
    return says_so or h5py.is_hdf5(path)


def matlab_entries(path: Path) -> list[Entry]:
    """The variables of the file; the fields of structures are named with slashes.

    Raises
    ------
    DataError
        The file ends before its last variable does.
    """
    import scipy.io

    _require_whole(path)
    entries = []
    for name, shape, kind in scipy.io.whosmat(path, appendmat=False):
        if kind == "struct" and math.prod(shape) == 1:
            inner = [ArrayInfo(key, np.shape(v), k) for key, v, k in _fields(name, _load(path, name))]
        else:
            inner = [ArrayInfo(name, tuple(shape), kind)]
        entries += [Entry(info, partial(_open, path, info.name)) for info in inner]
    return entries


def matlab_structs(path: Path, name: str) -> list[dict[str, np.ndarray]]:
    """The elements of the structure array `name`, in MATLAB's order, each as field -> array.

    Raises
    ------
    DataError
        There is no such variable, it is no structure, or the file is absent, damaged or of version 7.3.
    """
    import scipy.io

    with reading(path):
        if is_version_73(path):
            raise DataError(
                f"{path} is of version 7.3, whose structures are not read; in MATLAB: save(FILE, '-v7')"
            )
        _require_whole(path)
        names = [entry[0] for entry in scipy.io.whosmat(path, appendmat=False)]
        if name not in names:
            raise DataError(f"{path} holds no '{name}'; it holds {', '.join(names) or 'nothing'}")
        value = _load(path, name)
    if not value.dtype.names:
        raise DataError(f"'{name}' of {path.name} is {value.dtype} {value.shape}; expected a structure array")
    return [
        {field: np.asarray(item[field]) for field in value.dtype.names} for item in value.ravel(order="F")
    ]


def unsupported(what: str) -> DataError:
    """The error for what is no array of numbers or texts."""
    return DataError(
        f"{what} is a MATLAB cell array, structure or object that is not a list of texts; save plain "
        "arrays, in MATLAB: x = cell2mat(x), or x = cellstr(x) for strings"
    )


def _require_whole(path: Path) -> None:
    """Each variable states its length: a file that was cut is told by it, which scipy does not look at."""
    size = path.stat().st_size
    with path.open("rb") as file:
        order = {b"IM": "<u4", b"MI": ">u4"}.get(file.read(_HEADER)[126:])
        if order is None:  # version 4, or no MATLAB file: scipy says
            return
        place = _HEADER
        while place < size:
            file.seek(place)
            tag = file.read(8)
            length = int(np.frombuffer(tag, order)[1]) if len(tag) == 8 else 0
            packed = len(tag) == 8 and int(np.frombuffer(tag, order)[0]) == _COMPRESSED
            if place + 8 + length > size or len(tag) < 8:
                raise DataError(
                    f"{path} is damaged or truncated: the variable at byte {place} needs {8 + length} bytes "
                    f"and {size - place} are there; copy or export it again"
                )
            if packed:
                _require_room_unpacked(file, length, what=f"the variable at byte {place} of {path}")
            place += 8 + length


def _require_room_unpacked(file: BinaryIO, length: int, *, what: str) -> None:
    """A variable that is packed in `length` bytes from here on may hold a thousand times as many."""
    most = memory()
    if length * DEFLATE_AT_BEST <= most:
        return
    stream, unpacked = zlib.decompressobj(), 0
    while length > 0 and unpacked <= most:
        rest = file.read(min(length, _PART))
        length -= len(rest)
        while rest and unpacked <= most:
            unpacked += len(stream.decompress(rest, _PART))
            rest = stream.unconsumed_tail
    require_room(unpacked, what=what)


def _fields(name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
    """The arrays inside a MATLAB structure, named with slashes."""
    if value.dtype.names and value.size == 1:
        for field in value.dtype.names:
            yield from _fields(f"{name}/{field}", np.asarray(value.ravel()[0][field]))
    else:
        yield name, value, "cell" if value.dtype == object else str(value.dtype)


def _load(path: Path, name: str) -> np.ndarray:
    import scipy.io
    import scipy.sparse

    with warnings.catch_warnings():
        warnings.simplefilter("error", scipy.io.matlab.MatReadWarning)  # else the warning becomes the value
        content = scipy.io.loadmat(path, variable_names=[name], appendmat=False, mat_dtype=True)
    value = content[name]
    if not scipy.sparse.issparse(value):
        return np.asarray(value)
    require_room(math.prod(value.shape) * value.dtype.itemsize, what=f"'{name}' of {path.name}")
    return value.toarray()


def _open(path: Path, key: str) -> MemoryArray:
    value = _load(path, key.partition("/")[0])
    what = f"'{key}' of {path.name}"
    value = next((inner for name, inner, _ in _fields(key.partition("/")[0], value) if name == key), None)
    if value is None:
        raise unsupported(what)
    return MemoryArray(_cell_of_text(value, what) if value.dtype == object else value, what)


def _cell_of_text(cell: np.ndarray, what: str) -> np.ndarray:
    texts = [np.asarray(item) for item in cell.ravel()]
    if not all(text.dtype.kind == "U" and text.size <= 1 for text in texts):
        raise unsupported(what)
    return np.array([text.item() if text.size else "" for text in texts], str).reshape(cell.shape)
