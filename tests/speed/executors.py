"""What executors cost and give: seconds per cell beyond the work itself, and two workers against one.

    python tests/speed/executors.py [--cells 200] [--images 300] [--repeats 3] [--decode]

A cell is an artifact of a few bytes, computed and kept as a run's are; each executor does the same cells
after the first ones, which start its workers.  SLURM and Ray are those of this machine
(tests/helpers/clusters.py), left out where they are not installed.  With ``--decode`` Takagi (tiny), fitted
before, decodes the embedded images, by one worker process and by two in turn; the stage's seconds include the
start of workers.  The tables of both must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "helpers")]

import pytest  # noqa: E402
from clusters import one_node_slurm, two_node_ray  # noqa: E402
from commands import HELPERS, call_harness  # noqa: E402
from local_workers import written  # noqa: E402

from harness.storage.cached import Item, cached_map  # noqa: E402
from harness.storage.opening import open_executor  # noqa: E402
from harness.storage.store import Store  # noqa: E402

GOAL = 1.8


def cells(name: str, count: int, place: Path, workers: int) -> None:
    """Print the seconds until the first cell is there, and those per cell of `count` others."""
    executor = open_executor(name, workers=workers, device="cpu", root=place, run="cells")
    store = Store(place)
    try:
        started = time.perf_counter()
        for numbers in (range(workers), range(workers, workers + count)):
            items = [Item({"number": number}, (number,)) for number in numbers]
            cached_map("cells", items, written, store=store, executor=executor)
            took, started = time.perf_counter() - started, time.perf_counter()
            if len(numbers) == workers:
                start = took
        each = 1000 * took / count
        print(f"{name:10} {workers} workers: {start:5.1f} s to start, {each:6.1f} ms per cell", flush=True)
    finally:
        executor.close()


def decode(images: int, repeats: int) -> None:
    """Print the ratio of the stage decode, one worker to two."""
    sizes = ["--set", "benchmark.n_train=300", "--set", f"benchmark.n_test={images}"]
    words = [
        "run",
        "--encoder",
        "ridge",
        "--decoder",
        "mindeye2",
        "--metrics",
        "pixcorr",
        "--no-report",
        *sizes,
    ]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        call_harness(place, *words, "--limit", "16")  # the fits
        seconds: dict[int, list[float]] = {1: [], 2: []}
        tables = set()
        for number in range(repeats):
            for workers in seconds:
                call_harness(place, "store", "prune", "--stage", "decode")
                out = f"runs-{workers}-{number}"
                how = ["--executor", "processes", "--workers", str(workers), "--out", out]
                call_harness(place, *words, *how)
                (folder,) = (place / out).iterdir()
                seconds[workers].append(json.loads((folder / "run.json").read_text())["timings"]["decode"])
                tables.add((folder / "scores.parquet").read_bytes())
        one, two = (float(np.median(seconds[workers])) for workers in (1, 2))
        print(f"decode of {images} images: {one:.1f} s with 1 worker, {two:.1f} s with 2: {one / two:.2f}x")
        assert len(tables) == 1, "the tables differ"
        if one / two < GOAL:
            print(f"below the goal of {GOAL}x; {os.getloadavg()[0]:.1f} processes wanted a core meanwhile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--decode", action="store_true")
    given = parser.parse_args()
    if given.decode:
        decode(given.images, given.repeats)
        return
    os.environ["PYTHONPATH"] = str(HELPERS)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        for executor in ("inline", "processes", "slurm", "ray"):
            try:
                if executor == "slurm":
                    os.environ |= stack.enter_context(one_node_slurm()).environment
                if executor == "ray":
                    os.environ["RAY_ADDRESS"] = stack.enter_context(two_node_ray()).address
            except pytest.skip.Exception as problem:
                print(f"{executor} is left out: {problem}")
                continue
            cells(executor, given.cells, Path(name) / executor, 1 if executor == "inline" else 2)


if __name__ == "__main__":
    main()
