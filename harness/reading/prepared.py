"""Responses of a large data set as one table on disk, written once, a block of trials at a time.

Compressed volumes, surfaces and archives can only be read from one end to the other; a run reads responses
in any order and several times.  A killed preparation goes on after the last whole block.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..places import prepared_folder
from ..progress import track
from .arrays import open_array
from .sources import NpyArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Block:
    """Consecutive trials of one file: how many, and how to read them as (count, V)."""

    count: int
    read: Callable[[], np.ndarray]


def prepared_table(key: str, blocks: Sequence[Block], *, n_voxels: int, what: str) -> NpyArray:
    """(T, V) float32 of `blocks`, one after another, from disk; made first where it is not there.

    key : a hash of all that the numbers depend on.  Two processes that want one table make it once.

    Raises
    ------
    DataError
        The disk is too small (nothing is written then), or a block has another shape than was said.
    """
    folder = prepared_folder() / key[:32]
    done = folder / "responses.npy"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / "lock"):
            if not done.is_file():
                _write(folder, blocks, n_voxels, what)
    table = open_array(done)
    expected = (sum(block.count for block in blocks), n_voxels)
    if table.shape != expected:
        raise DataError(f"{done} has shape {table.shape}; expected {expected}; delete {folder}")
    table.what = what
    return table


def _write(folder: Path, blocks: Sequence[Block], n_voxels: int, what: str) -> None:
    part, progress = folder / "responses.npy.part", folder / "blocks.json"
    size = (sum(block.count for block in blocks), n_voxels)
    written = 0
    with contextlib.suppress(OSError, ValueError):
        written = int(json.loads(progress.read_text()))
    if not part.is_file() or part.stat().st_size < 4 * size[0] * size[1]:
        written = 0
        needed, free = 4 * size[0] * size[1], shutil.disk_usage(folder).free
        if needed > free:
            raise DataError(
                f"{what} as a table takes {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB "
                f"free; set "
                "HARNESS_PREPARED to a folder on a larger disk"
            )
        np.lib.format.open_memmap(part, "w+", np.float32, size)
    table = np.lib.format.open_memmap(part, "r+")
    starts = np.cumsum([0, *(block.count for block in blocks)])
    for k in track(range(written, len(blocks)), f"preparing {what}"):
        values = blocks[k].read()
        if values.shape != (blocks[k].count, n_voxels):
            raise DataError(
                f"{what}: part {k + 1} of {len(blocks)} has shape {values.shape}; expected "
                f"({blocks[k].count}, {n_voxels})"
            )
        table[starts[k] : starts[k + 1]] = values
        table.flush()
        progress.write_text(json.dumps(k + 1))
    del table
    os.replace(part, folder / "responses.npy")
    progress.unlink(missing_ok=True)
    logger.info("%s prepared in %s", what, folder)


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
