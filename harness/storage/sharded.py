"""One array in several files: rows are read when they are asked for, so that it may be larger than memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError


class ShardedArray:
    """The rows of several ``.npy`` files, one file after another, as one read-only array (N, ...).

    at : which of these rows it has, and in what order; all by default.

    It has `shape`, `dtype`, `ndim` and a length, is indexed along its first axis by whatever numpy takes
    there, and ``np.asarray`` reads all of it.

    Raises
    ------
    DataError
        There is no file, or rows of one differ in shape or type from those of the first.
    """

    def __init__(self, files: Sequence[Path], *, at: Sequence[int] | None = None) -> None:
        self._files = tuple(files)
        if not self._files:
            raise DataError("an array in files needs at least one file")
        first = _opened(self._files[0])
        lengths = []
        for file in self._files:
            rows = _opened(file)
            if (rows.shape[1:], rows.dtype) != (first.shape[1:], first.dtype):
                raise DataError(
                    f"{file} holds rows {rows.shape[1:]} of {rows.dtype}; expected {first.shape[1:]} of "
                    f"{first.dtype}, as in {self._files[0]}"
                )
            lengths.append(len(rows))
        self._ends = np.cumsum(lengths)
        self.dtype = first.dtype
        self._rows = np.arange(self._ends[-1]) if at is None else np.asarray(at, np.int64)
        self.shape = (len(self._rows), *first.shape[1:])
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, at: Any) -> np.ndarray:
        places = self._rows[at]
        flat = np.atleast_1d(places).reshape(-1)
        rows = np.empty((len(flat), *self.shape[1:]), self.dtype)
        shards = np.searchsorted(self._ends, flat, side="right")
        for shard in np.unique(shards):
            own = shards == shard
            start = self._ends[shard - 1] if shard else 0
            rows[own] = _opened(self._files[shard])[flat[own] - start]
        return rows.reshape(*np.shape(places), *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array in several files is always copied")
        return self[:].astype(dtype or self.dtype, copy=False)


def _opened(file: Path) -> np.ndarray:
    """The file as it is now: one that was damaged and made again is another."""
    stat = file.stat()
    return _mapped(file, stat.st_ino, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _mapped(file: Path, number: int, changed: int) -> np.ndarray:
    return np.load(file, mmap_mode="r", allow_pickle=False)
