"""A subject of NSD's size through features, ridge, prediction and scores: memory, and cost by size.

    python tests/speed/size.py [--full] [--preset cls] [--images 1250 2500 5000] [--voxels 2000 4000 8000]

Writes generated data in MindEye2's packaging (``nsd-mindeye2``): betas of three trials per image, pictures of
224 px in a sparse file of 73,000, of which those shown are written.  Each size is measured in a fresh process
without workers, whose peak is what the system counted, files that it maps included; every encoding score of
the default is computed.  Printed are seconds of CPU of every stage, the exponent of cost in images and in
voxels (1 is linear), and with ``--full`` 30,000 x 15,724 betas of 10,000 images (8 GB of disk), which must
stay below 8 GB of memory.  The score must find the signal that was put in.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

SUBJECT, LAYOUT, REPEATS, SESSIONS = "subj01", "nsd-mindeye2", 3, 40
SIDE, COARSE, STIMULI = 224, 8, 73_000
FULL = (10_000, 15_724)
LIMIT = 8.0  # GB


def write(folder: Path, images: int, voxels: int) -> None:
    """The folder of one subject with `images` pictures, a tenth of them shared, and `voxels` voxels."""
    from harness.benchmarks.layouts.manifest import read_manifest

    rng = np.random.default_rng(0)
    manifest = read_manifest(LAYOUT)

    def place(name: str, **values: object) -> Path:
        file = folder / manifest.entry(name).path.format(subject=SUBJECT, **values)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    shown = np.sort(rng.choice(STIMULI, images, replace=False))
    coarse = rng.random((images, COARSE, COARSE, 3), dtype=np.float32)
    with h5py.File(place("stimuli"), "w") as file:
        # Contiguous and never filled: what is not written is a hole of the file.
        pictures = file.create_dataset("images", (STIMULI, 3, SIDE, SIDE), np.float16, fill_time="never")
        for row, small in zip(shown, coarse):
            large = small.repeat(SIDE // COARSE, 0).repeat(SIDE // COARSE, 1)
            pictures[row] = large.transpose(2, 0, 1)
    order = np.concatenate([rng.permutation(images) for _ in range(REPEATS)])
    session = np.arange(len(order)) * SESSIONS // len(order) + 1
    flat = coarse.reshape(images, -1) - 0.5
    weights = rng.standard_normal((flat.shape[1], voxels), dtype=np.float32) / np.sqrt(flat.shape[1] / 12)
    with h5py.File(place("betas"), "w") as file:
        betas = file.create_dataset("betas", (len(order), voxels), np.float32)
        for start in range(0, len(order), 750):
            block = flat[order[start : start + 750]] @ weights
            betas[start : start + 750] = block + rng.standard_normal(block.shape, dtype=np.float32)
    shared = rng.random(images).argsort() < images // 10
    for name, of_test in (("training_trials", False), ("test_trials", True)):
        chosen = np.flatnonzero(shared[order] == of_test)
        for archive in np.unique(session[chosen]) if not of_test else [0]:
            trials = chosen if of_test else chosen[session[chosen] == archive]
            with tarfile.open(place(name, session=archive - 1 if not of_test else 0), "w") as tar:
                for trial in trials:
                    record = np.full((1, 17), -1.0)
                    record[0, [0, 2, 5]] = shown[order[trial]], session[trial], trial
                    add(tar, f"sample{trial:09d}.behav.npy", record)


def add(tar: tarfile.TarFile, name: str, record: np.ndarray) -> None:
    stream = io.BytesIO()
    np.save(stream, record)
    member = tarfile.TarInfo(name)
    member.size = len(stream.getvalue())
    tar.addfile(member, io.BytesIO(stream.getvalue()))


def measure(folder: Path, store: Path, preset: str) -> dict[str, object]:
    """In a process of its own: seconds of CPU by stage, peaks in GB, mean voxel r of the predicted row."""
    from harness.run.pipeline import run_plan
    from harness.run.plan import make_plan
    from harness.settings import Request
    from harness.storage.store import Store

    request = Request(
        benchmark=LAYOUT,
        encoder="ridge",
        subject=SUBJECT,
        values={
            "benchmark": {"root": str(folder)},
            "encoder": {"preset": preset},
            "run": {"executor": "inline"},
        },
    )
    meter, started = Meter(), time.process_time()
    plan = make_plan(request, need_decoder=False)
    outcome = run_plan(plan, Store(store), reporter=meter)
    voxel_r = {s.row: s.values for s in outcome.scored.responses if s.metric.ref.name == "voxel-r"}
    return {
        "seconds": meter.seconds | {"all": time.process_time() - started},
        "peak": peak(),
        "peaks": meter.peaks,
        "r": float(np.nanmean(voxel_r["predicted"])),
    }


class Meter:
    """A reporter that notes seconds of CPU, and the peak of memory in GB at the end, of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}

    def start(self, stage: str, total: int) -> Meter:
        self.name, self.started = stage, time.process_time()
        return self

    def advance(self, count: int) -> None:
        pass

    def within(self, what: str, done: int, total: int) -> None:
        pass

    def finish(self) -> None:
        self.seconds[self.name] = self.seconds.get(self.name, 0) + time.process_time() - self.started
        self.peaks[self.name] = peak()


def peak() -> float:
    """GB that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def measured(place: Path, images: int, voxels: int, preset: str) -> dict[str, object]:
    """Write, run in a fresh process, remove."""
    folder = place / f"{images}x{voxels}"
    try:
        write(folder / "data", images, voxels)
        words = [sys.executable, __file__, "--measure", str(folder), "--preset", preset]
        environment = {"HARNESS_ACCEPT_TERMS": "nsd", "HARNESS_PREPARED": str(folder / "prepared")}
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True, env={**os.environ, **environment})
        figures = json.loads(done.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    parts = " ".join(f"{stage} {took:.1f}" for stage, took in figures["seconds"].items())
    peaks = " ".join(f"{stage} {peak:.2f}" for stage, peak in figures["peaks"].items())
    print(
        f"{images} images, {3 * images} x {voxels} betas: peak {figures['peak']:.2f} GB, voxel r "
        f"{figures['r']:.3f}; seconds: {parts}; peak so far, GB: {peaks}",
        flush=True,
    )
    assert figures["r"] > 0.05, "the signal was not found"
    return figures


def exponents(what: str, sizes: list[int], figures: list[dict]) -> None:
    """The slope of log seconds, and of memory beyond the smallest, against log size."""
    for stage in figures[0]["seconds"]:
        seconds = np.array([of["seconds"].get(stage, 0) for of in figures])
        if seconds.max() >= 1:
            slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
            steep = np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2])
            print(f"{what}: {stage}: exponent {slope:.2f}, of the last two {steep:.2f}", flush=True)
    more = np.polyfit(sizes, [of["peak"] for of in figures], 1)[0]
    print(f"{what}: {1000 * more:.3f} GB of memory per 1,000", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[1250, 2500, 5000])
    parser.add_argument("--voxels", type=int, nargs="+", default=[2000, 4000, 8000])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--preset", default="cls", help="of the encoder ridge [cls]")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure / "data", given.measure / "store", given.preset)))
        return
    few, narrow = given.images[0], given.voxels[0]
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        place, how = Path(name), given.preset
        exponents("images", given.images, [measured(place, n, narrow, how) for n in given.images])
        exponents("voxels", given.voxels, [measured(place, few, v, how) for v in given.voxels])
        if given.full:
            figures = measured(place, *FULL, how)
            if figures["peak"] >= LIMIT:
                sys.exit(f"peak {figures['peak']:.2f} GB; expected less than {LIMIT:.0f}")


if __name__ == "__main__":
    main()
