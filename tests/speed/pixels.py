"""PixCorr and SSIM against the notebook's loops, as ratios in one run.

    python tests/speed/pixels.py [--images 1000] [--workers 2] [--size 512] [--repeats 3]

``notebook`` resizes all images with torchvision, on as many threads as there are workers, and calls
``np.corrcoef`` and scikit-image's ``structural_similarity`` image by image, as ``final_evaluations.ipynb``
of MindEye2 does.  ``harness`` scores blocks of 32 in worker processes, as a run does, the images sent to
them included; starting them is not.  The two alternate; ratios of times are medians over the repeats, CPU
times include the workers', and peaks are of fresh processes without workers, beyond the images themselves.
``copy`` is the time of reading all images once and writing them as float32, below which nothing here can
come.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from harness import plugins
from harness.metrics import pixel
from harness.metrics.pixel_families import MINDEYE2_V1
from harness.scoring.images import BLOCK
from harness.storage.executors import Executor
from harness.storage.opening import open_executor

STIMULUS = 224
METRICS = [plugins.find("metrics", name).load() for name in ("pixcorr", "ssim")]
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-9}
EXACT = 16  # images also compared in float64
GOAL = "goal: 1.5 times as fast"


def pictures(count: int, side: int, seed: int) -> np.ndarray:
    """(n, side, side, 3) uint8, smooth with some grain."""
    generator = np.random.default_rng(seed)
    images = np.empty((count, side, side, 3), np.uint8)
    grain = generator.integers(0, 30, (side, side, 3))
    for image in images:
        coarse = generator.integers(0, 220, (8, 8, 3))
        image[:] = coarse.repeat(side // 8, axis=0).repeat(side // 8, axis=1) + np.roll(
            grain, coarse[0, 0, 0]
        )
    return images


def notebook(result: np.ndarray, target: np.ndarray, dtype=np.float32) -> np.ndarray:
    """(2, n) PixCorr and SSIM."""
    import torch
    from skimage.color import rgb2gray
    from skimage.metrics import structural_similarity
    from torchvision.transforms import Resize

    first, then = (Resize((side, side), antialias=False) for side in MINDEYE2_V1.sizes)
    how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    sides = []
    for images in (result, target):
        planes = torch.from_numpy(np.moveaxis(images, -1, 1).astype(dtype) / dtype(255))
        sides.append(then(first(planes)))
    flat = [side.reshape(len(side), -1).numpy() for side in sides]
    correlations = [np.corrcoef(drawn, shown)[0][1] for drawn, shown in zip(*flat)]
    grey = [rgb2gray(side.permute(0, 2, 3, 1).numpy()) for side in sides]
    return np.array([correlations, [structural_similarity(a, b, **how) for a, b in zip(*grey)]])


def score(task: tuple[int, np.ndarray, np.ndarray]) -> tuple[int, np.ndarray]:
    """Position of a block and its (2, n) values."""
    start, result, target = task
    return start, np.array(
        [m.function()(*(m.function("prepare")(images) for images in (result, target))) for m in METRICS]
    )


def ours(result: np.ndarray, target: np.ndarray, executor: Executor) -> np.ndarray:
    """(2, n) PixCorr and SSIM."""
    scores = np.empty((2, len(result)))
    parts = (slice(start, start + BLOCK) for start in range(0, len(result), BLOCK))
    for start, values in executor.map(score, ((p.start, result[p], target[p]) for p in parts)):
        scores[:, start : start + values.shape[1]] = values
    return scores


def exactly(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(2, n) PixCorr and SSIM in float64."""
    how = {"family": MINDEYE2_V1.name, "dtype": np.float64}
    return np.array(
        [
            pixel.pixcorr(*(pixel.prepare_pixcorr(images, **how) for images in (result, target))),
            pixel.ssim(*(pixel.prepare_ssim(images, **how) for images in (result, target))),
        ]
    )


def seconds(work, *args) -> tuple[tuple[float, float], np.ndarray]:
    """Wall and CPU time, and what was found."""
    started, used = time.perf_counter(), cpu()
    scores = work(*args)
    return (time.perf_counter() - started, cpu() - used), scores


def cpu() -> float:
    """Seconds of this process and of its running children, from /proc (proc(5): fields 14 and 15 of stat)."""
    tasks = Path("/proc/self/task").glob("*/children")
    children = [child for task in tasks for child in task.read_text().split()]
    ticks = 0
    for process in ("self", *children):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def copied(images: np.ndarray) -> None:
    for image in images:
        image.astype(np.float32)


def status(field: str) -> float:
    """GB in a line of /proc/self/status; a child's resource.getrusage would start at its parent's peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) / 1e6


def peak(way: str, given: argparse.Namespace) -> float:
    """GB that `way` needs beyond the images, in a process of its own."""
    words = [sys.executable, __file__, "--peak", way]
    words += ["--images", str(given.images), "--size", str(given.size)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def own_peak(way: str, result: np.ndarray, target: np.ndarray) -> float:
    executor = open_executor("inline", workers=1, device="cpu")
    work = notebook if way == "notebook" else lambda *sides: ours(*sides, executor)
    work(result[:2], target[:2])
    before = status("VmRSS")
    work(result, target)
    return status("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=512, help="side of a reconstruction")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peak", choices=("notebook", "harness"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    result, target = pictures(given.images, given.size, 0), pictures(given.images, STIMULUS, 1)
    if given.peak:
        print(own_peak(given.peak, result, target))
        return
    import torch

    torch.set_num_threads(given.workers)
    executor = open_executor("processes", workers=given.workers, device="cpu")
    ours(result[: 2 * BLOCK * given.workers], target[: 2 * BLOCK * given.workers], executor)
    notebook(result[:2], target[:2])
    times: dict[str, list[tuple[float, float]]] = {"notebook": [], "harness": [], "copy": []}
    for _ in range(given.repeats):
        for way, work in {
            "notebook": lambda: notebook(result, target),
            "harness": lambda: ours(result, target, executor),
            "copy": lambda: (copied(result), copied(target)),
        }.items():
            taken, scores = seconds(work)
            times[way].append(taken)
            if way == "notebook":
                expected = scores
            elif way == "harness":
                off = {np.float32: np.abs(scores - expected).max()}
    executor.close()
    few = result[:EXACT], target[:EXACT]
    off[np.float64] = np.abs(exactly(*few) - notebook(*few, dtype=np.float64)).max()
    peaks = {way: peak(way, given) for way in ("notebook", "harness")}
    ratio = np.median(np.divide(times["notebook"], times["harness"]), axis=0)
    print(
        f"PixCorr and SSIM, {given.images} images of {given.size} px against {STIMULUS} px, {given.workers} "
        f"cores; {GOAL}"
    )
    for way, taken in times.items():
        memory = f"{peaks[way]:8.2f} GB" if way in peaks else ""
        wall, used = 1e3 * np.median(taken, axis=0) / given.images
        print(f"{way:<9} {wall:8.2f} ms/image {used:8.2f} ms/image of CPU {memory}")
    print(f"ratio     {ratio[0]:8.1f} {ratio[1]:17.1f} {'':15} {peaks['notebook'] / peaks['harness']:8.1f}")
    for dtype, limit in TOLERANCE.items():
        print(f"largest difference in {dtype.__name__}: {off[dtype]:.1e} (limit {limit:.0e})")
    if any(off[dtype] > limit for dtype, limit in TOLERANCE.items()):
        raise SystemExit("the values differ")


if __name__ == "__main__":
    main()
