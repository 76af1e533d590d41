"""Arrays of a file: in memory, memory-mapped, or read from HDF5 on demand."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, HarnessError, no_permission
from .room import require_room

_WHOLE_BYTES = 2 << 30

_LOOK_UP = 1 << 15
"""Bytes that are read in the time in which HDF5 looks up one entry (tests/speed/betas.py)."""

_POINTS = 512
"""Entries that are looked up at a time: the time for one grows with their number."""


@dataclass(frozen=True)
class ArrayInfo:
    """One array of a file.

    dtype : as numpy or MATLAB calls it; bare : it has no name of its own in the file, and needs none;
    note : what is wrong with it, such as a link that leads nowhere.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bare: bool = False
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Entry:
    """An array as a file lists it, how to open it, and how to ask what is wrong with it."""

    info: ArrayInfo
    open: Callable[[], ArraySource]
    ask: Callable[[], str] | None = None

    def described(self) -> ArrayInfo:
        """What :attr:`info` says, with a note on data that are lost."""
        return self.info if self.ask is None else replace(self.info, note=self.ask())


@dataclass(frozen=True)
class MemoryArray:
    """An array in memory, text or numbers."""

    values: np.ndarray
    what: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def take(self, positions: np.ndarray, *, axis: int = 0) -> np.ndarray:
        """The entries `positions`, in their order, along `axis`."""
        return np.asarray(np.take(self.values, positions, axis=axis))

    def read(self) -> np.ndarray:
        """The whole array."""
        return np.asarray(self.values)


class NpyArray:
    """A ``.npy`` file as a memory map, opened when first read; a pickle of it holds the path only."""

    def __init__(self, path: Path, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.path, self.shape, self.dtype, self.what = path, shape, dtype, path.name
        self._map: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_map": None}

    def take(self, positions: np.ndarray, *, axis: int = 0) -> np.ndarray:
        """The entries `positions`, in their order, along `axis`."""
        return np.array(np.take(self._mapped(), positions, axis=axis))

    def read(self) -> np.ndarray:
        """The whole array."""
        return np.asarray(self._mapped())

    def _mapped(self) -> np.ndarray:
        if self._map is None:
            with reading(self.path):
                self._map = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return self._map


class Hdf5Array:
    """A numeric HDF5 data set, opened when first read and anew in every process.

    A handle that crosses a fork or a pickle reads garbage or fails, so it is kept with the id of
    the process that opened it and is left out of pickles.
    """

    def __init__(
        self, path: Path, name: str, *, shape: tuple[int, ...], dtype: np.dtype, reverse: bool
    ) -> None:
        self.path, self.name, self.shape, self.dtype, self.reverse = path, name, shape, dtype, reverse
        self.what = f"'{name}' of {path.name}"
        self._handle: tuple[int, Any] | None = None
        self._whole: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_handle": None, "_whole": None}

    def take(self, positions: np.ndarray, *, axis: int = 0) -> np.ndarray:
        """The entries `positions`, in their order, along `axis`."""
        positions = np.asarray(positions, np.int64)
        if not len(positions):
            return np.empty((*self.shape[:axis], 0, *self.shape[axis + 1 :]), self.dtype)
        stored = len(self.shape) - 1 - axis if self.reverse else axis
        # Entries along a trailing stored axis touch every chunk of the file, so block-wise reading
        # would decompress all of it for each block.
        if stored and math.prod(self.shape) * self.dtype.itemsize <= _WHOLE_BYTES:
            return np.take(self.read(), positions, axis=axis)
        with reading(self.path):
            increasing, back = np.unique(positions, return_inverse=True)  # h5py takes sorted indices only
            entry = self.dtype.itemsize * math.prod(self.shape) // self.shape[axis]
            groups = np.split(increasing, range(_POINTS, len(increasing), _POINTS))
            parts = [self._entries(group, entry, stored) for group in groups]
            block = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=stored)
            if not np.array_equal(back, np.arange(len(increasing))):
                block = np.take(block, back, axis=stored)
            return self._as_shown(block)

    def _entries(self, increasing: np.ndarray, entry: int, stored: int) -> np.ndarray:
        """The entries at `increasing` positions, of `entry` bytes each, along the `stored` axis.

        Entries between them are read along, and left out, where that takes less than to look up each one.
        """
        first, last, before = int(increasing[0]), int(increasing[-1]) + 1, (slice(None),) * stored
        between = last - first - len(increasing)
        if between * entry > len(increasing) * _LOOK_UP:
            return self._dataset()[(*before, increasing)]
        slab = self._dataset()[(*before, slice(first, last))]
        return slab[(*before, increasing - first)] if between else slab

    def read(self) -> np.ndarray:
        """The whole array; kept in memory."""
        if self._whole is None:
            require_room(math.prod(self.shape) * self.dtype.itemsize, what=self.what)
            with reading(self.path):
                self._whole = self._as_shown(self._dataset()[()])
        return self._whole

    def _as_shown(self, stored: np.ndarray) -> np.ndarray:
        return (stored.T if self.reverse else stored).astype(self.dtype, copy=False)

    def _dataset(self) -> Any:
        import h5py

        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = (os.getpid(), h5py.File(self.path, "r"))
        return self._handle[1][self.name]


ArraySource = MemoryArray | NpyArray | Hdf5Array


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    try:
        yield
    except HarnessError:
        raise
    except MemoryError as problem:
        raise DataError(f"{path} asks for more memory than there is, or is damaged") from problem
    except PermissionError as problem:
        raise no_permission(path) from problem
    except Exception as problem:  # parsers of damaged files raise nearly anything
        reason = " ".join(str(problem).split())[:160]
        raise DataError(
            f"{path} cannot be read: {type(problem).__name__}: {reason}. It is damaged, truncated or not "
            "what its name says; copy or export it again"
        ) from problem
