"""Reading betas as a run does, as a ratio to plain h5py in the same process.

    python tests/speed/betas.py [--trials 6000] [--voxels 15724] [--repeats 3]

``packaged``: MindEye2's array (trials, voxels) float32: all of it in blocks, as statistics are taken, and
rows in any order, as training draws them; plain h5py reads the same rows in increasing order and sorts them
back, since it takes no others.  ``volumes``: NSD's own HDF5, a chunk for each voxel: the masked voxels of a
session, beside ``file["betas"][:]`` and the mask afterwards, as public readers do.  ``prepared``: the rows
from the table that ``harness data prepare`` writes.  Numbers must be equal.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from harness.benchmarks.layouts.nsd import PERCENT, read_session
from harness.benchmarks.paired_responses import ResponseTable
from harness.reading.arrays import open_array

BLOCK = 256
GRID, TRIALS = (40, 52, 42), 300
"""A volume of the size of nsdgeneral's bounding box, and trials of a short session."""


def fastest(
    work: Callable[[], np.ndarray], rival: Callable[[], np.ndarray], repeats: int
) -> tuple[float, float]:
    """Least seconds of both, taken in turn; they must give the same numbers."""
    times: tuple[list[float], list[float]] = ([], [])
    results = [None, None]
    for _ in range(repeats):
        for k, function in enumerate((work, rival)):
            started = time.perf_counter()
            results[k] = function()
            times[k].append(time.perf_counter() - started)
    if not np.array_equal(*results):
        raise SystemExit("the numbers differ")
    return min(times[0]), min(times[1])


def say(name: str, ours: float, plain: float) -> None:
    sys.stdout.write(f"{name:34} harness {ours:7.2f} s, h5py {plain:7.2f} s: {plain / ours:5.2f}x as fast\n")


def packaged(folder: Path, trials: int, voxels: int, repeats: int) -> None:
    path, rng = folder / "betas.hdf5", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["betas"] = rng.standard_normal((trials, voxels), np.float32)
    np.save(folder / "responses.npy", h5py.File(path)["betas"][:])
    drawn = rng.permutation(trials)[: trials // 4]

    def blocks(source) -> np.ndarray:
        return np.stack(
            [source(np.arange(k, min(k + BLOCK, trials))).mean(0) for k in range(0, trials, BLOCK)]
        )

    def plain_rows(rows: np.ndarray) -> np.ndarray:
        order = np.argsort(rows)
        with h5py.File(path) as file:
            values = file["betas"][rows[order]]
        out = np.empty_like(values)
        out[order] = values
        return out.astype(np.float64)

    def plain_blocks() -> np.ndarray:
        with h5py.File(path) as file:
            return blocks(lambda rows: file["betas"][rows[0] : rows[-1] + 1].astype(np.float64))

    table = ResponseTable(open_array(path, "betas"), "trials-first")
    mapped = ResponseTable(open_array(folder / "responses.npy"), "trials-first")
    say("packaged, all in blocks", *fastest(lambda: blocks(table.rows), plain_blocks, repeats))
    say(
        "packaged, a quarter in any order",
        *fastest(lambda: table.rows(drawn), lambda: plain_rows(drawn), repeats),
    )
    say(
        "prepared, a quarter in any order",
        *fastest(lambda: mapped.rows(drawn), lambda: plain_rows(drawn), repeats),
    )


def volumes(folder: Path, repeats: int) -> None:
    path, rng = folder / "betas_session01.hdf5", np.random.default_rng(0)
    values = rng.integers(-3000, 3000, (TRIALS, *GRID[::-1]), dtype=np.int16)
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", data=values, chunks=(TRIALS, 1, 1, 1))
    centre = (np.stack(np.indices(GRID), axis=-1) - np.array(GRID) / 2) / np.array(GRID)
    mask = np.abs(np.linalg.norm(centre, axis=-1) - 0.4) < 0.06  # a shell, as cortex is

    def plain() -> np.ndarray:
        with h5py.File(path) as file:
            return file["betas"][:].T[mask].T.astype(np.float32) / np.float32(PERCENT)

    share = f"volumes, {mask.mean():.0%} of the voxels"
    say(share, *fastest(lambda: read_session(path, mask), plain, repeats))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("trials", 6000), ("voxels", 15724), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packaged(Path(folder), given.trials, given.voxels, given.repeats)
        volumes(Path(folder), given.repeats)


if __name__ == "__main__":
    main()
