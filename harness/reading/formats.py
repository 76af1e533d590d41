"""Listing and opening the arrays of each file format; nothing pickled is ever unpickled.

Every format has a lister (path -> list of :class:`ArrayInfo`) and an opener (path, key ->
:data:`ArraySource`).  Axes and classes of MATLAB files are those that MATLAB shows: v7.3 files store
column-major arrays with their axes reversed, and v5 files pack whole doubles into bytes.
"""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .sources import ArrayInfo, ArraySource, Hdf5Array, MemoryArray, NpyArray


def _list_npy(path: Path) -> list[ArrayInfo]:
    with path.open("rb") as file:
        shape, dtype = _npy_header(file, what=str(path))
    return [ArrayInfo(path.stem, shape, str(dtype))]


def _open_npy(path: Path, key: str) -> ArraySource:
    if key:
        raise DataError(f"{path} holds one array without a name; leave out ':{key}'")
    with path.open("rb") as file:
        shape, dtype = _npy_header(file, what=str(path))
        there, needed = path.stat().st_size - file.tell(), math.prod(shape) * dtype.itemsize
    if there < needed:
        raise DataError(f"{path} is truncated: {there} of {needed} bytes of data; copy or export it again")
    return NpyArray(path, shape=shape, dtype=dtype)


def _npy_header(file: Any, *, what: str) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise DataError(f"{what} holds a structured array; save plain arrays of numbers")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise DataError(
            f"{what} holds pickled Python objects, which can run code when opened; "
            "save it with a numeric or text dtype"
        )
    return shape, dtype


def _list_npz(path: Path) -> list[ArrayInfo]:
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as file:
                    try:
                        shape, dtype = _npy_header(file, what=f"'{name[:-4]}' of {path.name}")
                    except DataError:  # others of the file stay usable; opening this one says why
                        shape, dtype = (), "unsupported"
                found.append(ArrayInfo(name[:-4], shape, str(dtype)))
    return found


def _open_npz(path: Path, key: str) -> MemoryArray:
    what = f"'{key}' of {path.name}"
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        _npy_header(file, what=what)
    with np.load(path, allow_pickle=False) as archive:
        return MemoryArray(archive[key], what)


def _list_txt(path: Path) -> list[ArrayInfo]:
    return [ArrayInfo(path.stem, _open_txt(path, "").shape, "text")]


def _open_txt(path: Path, key: str) -> MemoryArray:
    if key:
        raise DataError(f"{path} holds one list without a name; leave out ':{key}'")
    lines = path.read_text(encoding="utf-8").rstrip("\r\n").splitlines()
    return MemoryArray(np.array(lines, str), path.name)


def _list_matlab5(path: Path) -> list[ArrayInfo]:
    import scipy.io

    found = []
    for name, shape, kind in scipy.io.whosmat(path, appendmat=False):
        if kind == "struct" and math.prod(shape) == 1:
            fields = _load_matlab5(path, name)
            found += [ArrayInfo(key, np.shape(value), kind) for key, value, kind in _fields(name, fields)]
        else:
            found.append(ArrayInfo(name, tuple(shape), kind))
    return found


def _fields(name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
    """The arrays inside a MATLAB structure, named with slashes."""
    if value.dtype.names and value.size == 1:
        for field in value.dtype.names:
            yield from _fields(f"{name}/{field}", np.asarray(value.ravel()[0][field]))
    else:
        yield name, value, "cell" if value.dtype == object else str(value.dtype)


def _load_matlab5(path: Path, name: str) -> np.ndarray:
    import scipy.io
    import scipy.sparse

    with warnings.catch_warnings():
        warnings.simplefilter("error", scipy.io.matlab.MatReadWarning)  # else the warning becomes the value
        content = scipy.io.loadmat(path, variable_names=[name], appendmat=False, mat_dtype=True)
    value = content[name]
    return value.toarray() if scipy.sparse.issparse(value) else np.asarray(value)


def _open_matlab5(path: Path, key: str) -> MemoryArray:
    name = key.partition("/")[0]
    value = _load_matlab5(path, name)
    what = f"'{key}' of {path.name}"
    value = next((found for inner, found, _ in _fields(name, value) if inner == key), None)
    if value is None:
        raise _unsupported(what)
    return MemoryArray(_cell_of_text(value, what) if value.dtype == object else value, what)


def _unsupported(what: str) -> DataError:
    return DataError(
        f"{what} is a MATLAB cell array, structure or object that is not a list of texts; save plain "
        "arrays, in MATLAB: x = cell2mat(x), or x = cellstr(x) for strings"
    )


def _cell_of_text(cell: np.ndarray, what: str) -> np.ndarray:
    texts = [np.asarray(item) for item in cell.ravel()]
    if not all(text.dtype.kind == "U" and text.size <= 1 for text in texts):
        raise _unsupported(what)
    return np.array([text.item() if text.size else "" for text in texts], str).reshape(cell.shape)


def _list_hdf5(path: Path) -> list[ArrayInfo]:
    import h5py

    found = []

    def visit(name: str, item: Any) -> None:
        if name.startswith("#") or not isinstance(item, h5py.Dataset):  # '#refs#': contents of cells
            return
        shape = item.shape or ()
        kind = _matlab_class(item)
        if kind and "MATLAB_empty" in item.attrs:
            shape = tuple(int(length) for length in item[()])
        elif kind:
            shape = shape[::-1]
        found.append(ArrayInfo(name, shape, kind or _hdf5_dtype(item)))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def _hdf5_dtype(item: Any) -> str:
    import h5py

    return "text" if h5py.check_string_dtype(item.dtype) else str(item.dtype)


def _matlab_class(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _open_hdf5(path: Path, key: str) -> ArraySource:
    import h5py

    what = f"'{key}' of {path.name}"
    with h5py.File(path, "r") as file:
        item = file[key]
        kind = _matlab_class(item)
        if kind and "MATLAB_empty" in item.attrs:
            return MemoryArray(np.zeros(tuple(int(length) for length in item[()])), what)
        if kind == "char":
            return MemoryArray(_matlab_text(item[()]), what)
        if kind == "cell" and h5py.check_ref_dtype(item.dtype) is h5py.Reference:
            return MemoryArray(_referenced_text(file, item, what), what)
        if "MATLAB_object_decode" in item.attrs or (kind and item.dtype.kind not in "biuf"):
            raise _unsupported(what)
        if h5py.check_string_dtype(item.dtype):
            return MemoryArray(np.array(item.asstr()[()], str), what)
        if item.dtype.hasobject or item.shape is None:
            raise DataError(f"{what} holds {item.dtype} objects; expected numbers, logicals or text")
        dtype = np.dtype(bool) if kind == "logical" else item.dtype
        shape = item.shape[::-1] if kind else item.shape
        return Hdf5Array(path, key, shape=shape, dtype=dtype, reverse=bool(kind))


def _matlab_text(stored: np.ndarray) -> np.ndarray:
    """(columns, rows) UTF-16 code units -> one text per row."""
    rows = np.atleast_2d(stored.T).astype("<u2")
    return np.array([row.tobytes().decode("utf-16-le").rstrip() for row in rows], str)


def _referenced_text(file: Any, item: Any, what: str) -> np.ndarray:
    texts: list[str] = []
    for reference in item[()].T.ravel():
        cell = file[reference]
        if _matlab_class(cell) != "char":
            raise _unsupported(what)
        empty = "MATLAB_empty" in cell.attrs
        texts.append("" if empty else str(_matlab_text(cell[()])[0]))
    return np.array(texts, str)


LISTERS: dict[str, Callable[[Path], list[ArrayInfo]]] = {
    "npy": _list_npy,
    "npz": _list_npz,
    "txt": _list_txt,
    "matlab5": _list_matlab5,
    "hdf5": _list_hdf5,
}
OPENERS: dict[str, Callable[[Path, str], ArraySource]] = {
    "npy": _open_npy,
    "npz": _open_npz,
    "txt": _open_txt,
    "matlab5": _open_matlab5,
    "hdf5": _open_hdf5,
}
