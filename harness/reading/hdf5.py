"""Arrays of HDF5 files and of MATLAB's v7.3, which is HDF5 with its axes reversed.

Soft, hard and external links are followed.  HDF5 hands out its fill value, zero unless another was set,
wherever data were never written or the file that they lie in is gone; such arrays are refused.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .matlab import unsupported
from .room import require_room
from .sources import ArrayInfo, ArraySource, Entry, Hdf5Array, MemoryArray

logger = logging.getLogger(__name__)

_MOST_LINKS = 100_000
"""Names of a file that are looked at: groups that are linked to each other multiply without end."""


def hdf5_entries(path: Path) -> list[Entry]:
    """The data sets of the file, those inside groups named with slashes, links under their own names."""
    import h5py

    entries = []
    with h5py.File(path, "r") as file:
        for name, item, link in _walk(file):
            if item is None:
                info = ArrayInfo(name, (), "link", note=_target(link))
            else:
                info = ArrayInfo(name, _shape(item), _matlab_class(item) or _dtype(item))
            entries.append(Entry(info, partial(_open, path, name), partial(_note, path, name)))
    return entries


def _walk(file: Any) -> Iterator[tuple[str, Any, Any]]:
    """(name, data set, link) of every data set; a link that leads nowhere has None in its place."""
    import h5py

    looked_at = 0
    pending = [(file, "", frozenset([_address(file)]))]
    while pending:
        group, prefix, above = pending.pop()
        for name in group:
            looked_at += 1
            if looked_at > _MOST_LINKS:
                raise DataError(f"{file.filename} holds more than {_MOST_LINKS} names; name fewer arrays")
            if name.startswith("#"):  # '#refs#': contents of MATLAB's cells
                continue
            link = group.get(name, getlink=True)
            try:
                item = group[name]
            except (KeyError, OSError):
                yield prefix + name, None, link
                continue
            if isinstance(item, h5py.Dataset):
                yield prefix + name, item, link
            elif isinstance(item, h5py.Group) and (address := _address(item)) not in above:
                pending.append((item, f"{prefix}{name}/", above | {address}))


def _address(group: Any) -> tuple[str, int]:
    import h5py

    return group.file.filename, h5py.h5o.get_info(group.id).addr


def _target(link: Any) -> str:
    file = getattr(link, "filename", "")  # of an external link
    where = f"{link.path} of {file}" if file else getattr(link, "path", "")
    return f"a link to {where}, which is not there"


def _note(path: Path, key: str) -> str:
    import h5py

    with h5py.File(path, "r") as file:
        try:
            item = file[key]
        except (KeyError, OSError):
            return _target(file.get(key, getlink=True))
        return lost_data(item)


def _shape(item: Any) -> tuple[int, ...]:
    shape = item.shape or ()
    if not _matlab_class(item):
        return shape
    return tuple(int(n) for n in item[()]) if "MATLAB_empty" in item.attrs else shape[::-1]


def _dtype(item: Any) -> str:
    import h5py

    return "text" if h5py.check_string_dtype(item.dtype) else str(item.dtype)


def _matlab_class(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _open(path: Path, key: str) -> ArraySource:
    import h5py

    what = f"'{key}' of {path.name}"
    with h5py.File(path, "r") as file:
        try:
            item = file[key]
        except (KeyError, OSError):
            raise DataError(
                f"{what} is {_target(file.get(key, getlink=True))}; put it back, or copy the data in here"
            ) from None
        kind = _matlab_class(item)
        require_room(math.prod(item.chunks or ()) * item.dtype.itemsize, what=f"a chunk of {what}")
        if kind and "MATLAB_empty" in item.attrs:
            if 0 not in (shape := _shape(item)):
                raise DataError(f"{what} is said to be empty and claims the shape {shape}; it is damaged")
            return MemoryArray(np.zeros(shape), what)
        if kind or item.dtype.kind in "SO":
            require_room((item.size or 0) * item.dtype.itemsize, what=what)
        if kind == "char":
            return MemoryArray(_matlab_text(item[()]), what)
        if kind == "cell" and h5py.check_ref_dtype(item.dtype) is h5py.Reference:
            return MemoryArray(_referenced_text(file, item, what), what)
        if "MATLAB_object_decode" in item.attrs or (kind and item.dtype.kind not in "biuf"):
            raise unsupported(what)
        if item.dtype.kind != "S" and h5py.check_string_dtype(item.dtype):
            return MemoryArray(np.array(item.asstr("utf-8")[()], str), what)
        if item.dtype.hasobject or item.shape is None:
            raise DataError(f"{what} holds {item.dtype} objects; expected numbers, logicals or text")
        if reason := lost_data(item):
            _refuse(f"{what} {reason}", item)
        if item.dtype.kind == "S":
            return MemoryArray(item[()], what)
        dtype = np.dtype(bool) if kind == "logical" else item.dtype
        shape = item.shape[::-1] if kind else item.shape
        return Hdf5Array(path, key, shape=shape, dtype=dtype, reverse=bool(kind))


def _refuse(problem: str, item: Any) -> None:
    """Refuse lost data; of a vector (a mask, labels) parts may well have been left at the fill value."""
    vector = sum(length > 1 for length in item.shape) < 2
    if vector and item.chunks and not item.is_virtual and item.id.get_storage_size():
        logger.warning("%s", problem)
        return
    raise DataError(f"{problem}; write what is missing, or copy the missing file beside this one")


def lost_data(item: Any, above: frozenset[tuple[str, str]] = frozenset()) -> str:
    """Why a data set holds fill values in place of data; "" where all was written.

    A fill value of NaN says by itself that there are no data.
    """
    if not item.shape or not item.size:
        return ""
    if item.is_virtual:
        return _lost_source(item, above | {(item.file.filename, item.name)})
    if item.external:
        return _lost_storage(item)
    if item.dtype.kind == "f" and np.isnan(item.fillvalue):
        return ""
    if not item.id.get_storage_size():
        return f"was never written: HDF5 hands out {_fill(item)} in its place"
    if item.chunks:
        expected = math.prod(-(-length // chunk) for length, chunk in zip(item.shape, item.chunks))
        lost = expected - item.id.get_num_chunks()
        if lost > 0:
            return (
                f"was written in part: {lost} of its {expected} chunks never were, and HDF5 hands out "
                f"{_fill(item)} in their place"
            )
    return ""


def _fill(item: Any) -> str:
    return f"{item.fillvalue:g}" if item.dtype.kind in "biuf" else "blanks"


def _lost_source(item: Any, above: frozenset[tuple[str, str]]) -> str:
    """Why a virtual data set lacks data: a file, a data set of it or a part that nothing is mapped to."""
    import h5py

    mapped, endless = 0, False
    for source in item.virtual_sources():
        points = _points(source.vspace)
        endless |= points is None or "%" in source.file_name + source.dset_name
        mapped += points or 0
        if "%" in source.file_name + source.dset_name:  # a series of files, as many as there are
            continue
        name = source.file_name
        path = Path(item.file.filename) if name == "." else _beside(name, Path(item.file.filename))
        if path is None:
            return f"is virtual and its source file {name} is not there: HDF5 hands out {_fill(item)} for it"
        with h5py.File(path, "r") as file:
            inner = file.get(source.dset_name)
            if not isinstance(inner, h5py.Dataset):
                return f"is virtual and its source {source.dset_name} of {name} is not there"
            if (file.filename, inner.name) in above:
                return f"is virtual and its source {source.dset_name} of {name} is itself"
            if not _covers(inner, source):
                return f"is virtual and its source {source.dset_name} of {name} is too small, {inner.shape}"
            if reason := lost_data(inner, above):
                return f"is virtual and its source {source.dset_name} of {name} {reason}"
    if not endless and mapped < item.size and not (item.dtype.kind == "f" and np.isnan(item.fillvalue)):
        return f"is virtual and has sources for {mapped} of its {item.size} values only"
    return ""


def _covers(inner: Any, source: Any) -> bool:
    """Whether the data set `inner` is as large as its mapping into a virtual one says."""
    import h5py

    chosen, points = source.src_space, _points(source.vspace)
    if points is None:
        return True
    if chosen.get_select_type() != h5py.h5s.SEL_HYPERSLABS:  # all of it, of no stated extent
        return inner.size >= points
    return all(last < length for last, length in zip(chosen.get_select_bounds()[1], inner.shape))


def _points(space: Any) -> int | None:
    """How many values a selection has; None where it grows with its source, which h5py cannot count."""
    try:
        return space.get_select_npoints()
    except RuntimeError:
        return None


def _beside(name: str, file: Path) -> Path | None:
    """Where HDF5 looks for the source file `name` of a virtual data set of `file`."""
    prefix = os.environ.get("HDF5_VDS_PREFIX", "").replace("${ORIGIN}", str(file.parent))
    folders = [Path(folder) for folder in (prefix, file.parent, ".") if folder]
    places = [folder / tail for folder in folders for tail in (name, Path(name).name)]
    return next((place for place in places if place.is_file()), None)


def _lost_storage(item: Any) -> str:
    """Why data in raw files beside an HDF5 file are not there."""
    parent = Path(item.file.filename).parent
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "").replace("${ORIGIN}", str(parent))
    needed = item.size * item.dtype.itemsize
    for name, offset, size in item.external:
        place = Path(prefix) / os.fsdecode(name)
        if not place.is_file():
            hint = ""
            if (parent / os.fsdecode(name)).is_file():
                hint = f"; HDF5 looks for it in the current folder: set HDF5_EXTFILE_PREFIX={parent}"
            return f"lies in the raw file {os.fsdecode(name)}, which is not there{hint}"
        part = min(needed, size)
        if place.stat().st_size < offset + part:
            there = max(0, place.stat().st_size - offset)
            return f"lies in the raw file {os.fsdecode(name)}, which holds {there} of {part} bytes"
        needed -= part
    return ""


def _matlab_text(stored: np.ndarray) -> np.ndarray:
    """(columns, rows) UTF-16 code units -> one text per row."""
    rows = np.atleast_2d(stored.T).astype("<u2")
    return np.array([row.tobytes().decode("utf-16-le").rstrip() for row in rows], str)


def _referenced_text(file: Any, item: Any, what: str) -> np.ndarray:
    texts: list[str] = []
    for reference in item[()].T.ravel():
        cell = file[reference]
        if _matlab_class(cell) != "char":
            raise unsupported(what)
        empty = "MATLAB_empty" in cell.attrs
        texts.append("" if empty else str(_matlab_text(cell[()])[0]))
    return np.array(texts, str)
