"""Arrays with ids from a file that somebody else wrote: ``.npz``, ``.npy``, ``.h5``, ``.pt``.

Ids stand in the file under ``ids``, or beside it, one a line in ``FILE.ids.txt`` or as a list in
``FILE.ids.json``; a bare array (``.npy``, or one tensor in a ``.pt``) has them beside it only.  Nothing
pickled is read: a ``.pt`` may hold tensors, and lists of text or numbers for the ids, and nothing else.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError

SUFFIXES = (".npz", ".npy", ".h5", ".hdf5", ".pt", ".pth")

BARE = ""
"""Name of the array of a file that holds one without a name."""


@dataclass(frozen=True)
class NamedArray:
    """One array of a file, read where the format allows.

    read : positions (n,) int, in any order -> (n, ...) array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> NamedArray:
        return cls(array.shape, array.dtype, lambda positions: np.asarray(array[positions]))

    def whole(self) -> np.ndarray:
        return self.read(np.arange(self.shape[0]))


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of a file by name, and what else stands in it as text (``ids``, ``training_sets``)."""

    path: Path
    arrays: Mapping[str, NamedArray]
    texts: Mapping[str, tuple[str, ...]]

    def ids(self, length: int, *, what: str) -> tuple[str, ...]:
        """The ids of the file's rows, from the file or from beside it.

        Raises
        ------
        DataError
            None, another number than `length`, or one that occurs twice.
        """
        names = self.texts["ids"] if "ids" in self.texts else _ids_beside(self.path)
        if len(names) != length:
            raise DataError(f"{self.path}: {len(names)} ids for {length} {what}")
        if len(set(names)) != len(names):
            seen: set[str] = set()
            twice = next(name for name in names if name in seen or seen.add(name))
            raise DataError(f"{self.path}: id '{twice}' occurs more than once")
        return names


def open_arrays(path: Path, texts: Sequence[str] = ("ids",)) -> ArrayFile:
    """What the file holds; arrays called as one of `texts` are read as names.

    Raises
    ------
    DataError
        Another ending, a damaged file, anything pickled.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: arrays are read from {', '.join(SUFFIXES)}, not from '{path.suffix}'")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        arrays, found = _OPENERS[suffix](path, texts)
    except DataError:
        raise
    except Exception as problem:  # truncated, pickled or not such a file at all
        first = (str(problem) or type(problem).__name__).splitlines()[0]
        raise DataError(
            f"{path} cannot be read as {suffix}: {first.rstrip('.')}. It may be cut off or pickled"
        ) from None
    return ArrayFile(path, arrays, found)


def sidecars(path: Path) -> tuple[Path, Path]:
    """Where ids may stand beside `path`."""
    return path.with_suffix(".ids.txt"), path.with_suffix(".ids.json")


def as_text(name: Any) -> str:
    """An id as text: bytes decoded, whole numbers without a decimal point."""
    if isinstance(name, np.generic):
        name = name.item()
    if isinstance(name, bytes):
        return name.decode()
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return str(name)


Opened = tuple[dict[str, NamedArray], dict[str, tuple[str, ...]]]


def _npy(path: Path, texts: Sequence[str]) -> Opened:
    return {BARE: NamedArray.of(np.load(path, mmap_mode="r", allow_pickle=False))}, {}


def _npz(path: Path, texts: Sequence[str]) -> Opened:
    with np.load(path, allow_pickle=False) as file:
        held = {name: file[name] for name in file.files}
    names = {name: _names(held.pop(name)) for name in texts if name in held}
    return {name: NamedArray.of(array) for name, array in held.items()}, names


SLAB = 4
"""Rows that may be read in vain for each that is wanted: one slab is far faster than many points."""


def _hdf5(path: Path, texts: Sequence[str]) -> Opened:
    import h5py

    def reader(name: str) -> Callable[[np.ndarray], np.ndarray]:
        def read(positions: np.ndarray) -> np.ndarray:
            # Opened anew each time: a handle must not be shared with a forked worker.
            with h5py.File(path, "r") as file:
                increasing, back = np.unique(positions, return_inverse=True)
                first, last = (increasing[0], increasing[-1] + 1) if len(increasing) else (0, 0)
                if last - first <= SLAB * len(increasing):
                    return np.asarray(file[name][first:last])[np.asarray(positions) - first]
                return np.asarray(file[name][increasing])[back]

        return read

    arrays, names = {}, {}
    with h5py.File(path, "r") as file:
        for name, item in file.items():
            if not isinstance(item, h5py.Dataset):
                continue
            if name in texts:
                names[name] = _names(item[()])
            else:
                item[:1] if item.shape else item[()]  # a cut-off file fails here, not after an hour
                arrays[name] = NamedArray(item.shape, item.dtype, reader(name))
    return arrays, names


def _torch(path: Path, texts: Sequence[str]) -> Opened:
    import torch

    refusal = DataError(
        f"{path} holds something other than tensors, or is damaged; nothing else is read from a pickle. "
        "Save tensors alone: torch.save({'reconstructions': images, 'ids': ids}, 'recons.pt')"
    )
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        raise refusal from None
    if isinstance(held, torch.Tensor):
        return {BARE: _of_tensor(held)}, {}
    if not isinstance(held, Mapping):
        raise refusal
    arrays, names = {}, {}
    for name, value in held.items():
        if isinstance(value, torch.Tensor) and name not in texts:
            arrays[str(name)] = _of_tensor(value)
        elif isinstance(value, torch.Tensor):
            names[name] = _names(_of_tensor(value).whole())
        elif isinstance(value, (list, tuple)) and all(isinstance(one, (str, int, bytes)) for one in value):
            names[str(name)] = tuple(map(as_text, value))
        else:
            raise refusal
    return arrays, names


def _of_tensor(tensor: Any) -> NamedArray:
    import torch

    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:  # unknown to numpy
        tensor = tensor.float()
    return NamedArray.of(tensor.resolve_conj().resolve_neg().numpy())


_OPENERS: Mapping[str, Callable[[Path, Sequence[str]], Opened]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".pt": _torch,
    ".pth": _torch,
}


def _names(values: np.ndarray | Iterable[Any]) -> tuple[str, ...]:
    return tuple(as_text(name) for name in np.asarray(values).reshape(-1))


def _ids_beside(path: Path) -> tuple[str, ...]:
    text, listed = sidecars(path)
    if text.is_file():
        return tuple(line.strip() for line in text.read_text().splitlines() if line.strip())
    if listed.is_file():
        try:
            return tuple(as_text(name) for name in json.loads(listed.read_text()))
        except (ValueError, TypeError):
            raise DataError(f"{listed} is not a list of ids in JSON") from None
    raise DataError(
        f"{path} says nothing of ids; put one id a line, in the order of its rows, into {text.name}"
    )
