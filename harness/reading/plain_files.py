"""Arrays of ``.npy`` and ``.npz`` files, lists of ``.txt`` and ``.json`` files; nothing pickled is read."""

from __future__ import annotations

import json
import math
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .room import require_room
from .sources import ArrayInfo, ArraySource, Entry, MemoryArray, NpyArray, reading
from .texts import read_lines, read_text


def npy_entries(path: Path) -> list[Entry]:
    """The one array of a ``.npy`` file."""
    with path.open("rb") as file:
        shape, dtype = _npy_header(file, what=str(path))
    return [Entry(ArrayInfo(path.stem, shape, str(dtype), bare=True), partial(_open_npy, path))]


def _open_npy(path: Path) -> ArraySource:
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
            "save it with a numeric or text dtype, for example numpy.array(ids, str)"
        )
    return shape, dtype


def npz_entries(path: Path) -> list[Entry]:
    """The arrays of a ``.npz`` file."""
    entries = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as file:
                    try:
                        shape, dtype = _npy_header(file, what=f"'{name[:-4]}' of {path.name}")
                    except DataError:  # others of the file stay usable; opening this one says why
                        shape, dtype = (), "unsupported"
                info = ArrayInfo(name[:-4], shape, str(dtype))
                entries.append(Entry(info, partial(_open_npz, path, name[:-4])))
    return entries


def _open_npz(path: Path, key: str) -> MemoryArray:
    what = f"'{key}' of {path.name}"
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as file:
        shape, dtype = _npy_header(file, what=what)
        claimed, held = math.prod(shape) * dtype.itemsize, archive.getinfo(f"{key}.npy").file_size
        if claimed > held:
            raise DataError(
                f"{what} claims {claimed:,} bytes of shape {shape} and holds {held:,}; it is damaged"
            )
        require_room(claimed, what=what)
    with np.load(path, allow_pickle=False) as archive:
        return MemoryArray(archive[key], what)


def npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of a ``.npz`` file, by name.

    Raises
    ------
    DataError
        The file is damaged, or an array is pickled or claims more than there is.
    """
    with reading(path):
        return {entry.info.name: entry.open().read() for entry in npz_entries(path)}


def txt_entries(path: Path) -> list[Entry]:
    """The lines of a ``.txt`` file."""
    lines = MemoryArray(np.array(read_lines(path), str), path.name)
    return [Entry(ArrayInfo(path.stem, lines.shape, "text", bare=True), lambda: lines)]


def json_entries(path: Path) -> list[Entry]:
    """The list of texts or numbers of a ``.json`` file; numbers stay as they were typed."""
    try:
        listed = json.loads(read_text(path), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(entry, str) for entry in listed):
        raise DataError(f'{path} is not a list of ids in JSON, such as ["img1", "img2"]')
    texts = MemoryArray(np.array(listed, str), path.name)
    return [Entry(ArrayInfo(path.stem, texts.shape, "text", bare=True), lambda: texts)]
