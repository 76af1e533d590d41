"""Two-way identification against ``np.corrcoef`` of the stack, as ratios in one run.

    python tests/speed/two_way.py [--images 1000] [--features 184512] [--repeats 3]

The public notebooks correlate all images and all reconstructions with one another, in float64, and read a
quarter of the matrix.  The two ways alternate; ratios of times are medians over the repeats, and peaks are
of what a way allocates beyond the features, in a first pass that is not timed.  CPU time is that of all
threads (``OMP_NUM_THREADS``), which says less of what else the machine does.  Reconstructions that are
``noise`` have the most pairs too close for float32.  The defaults are the second convolution of AlexNet on
1,000 images: 1.5 GB of features and up to 8 GB in use.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np

from harness.metrics.identification import two_way

ROWS = {"fair": 2.0, "noise": None}  # SD of the error in what a reconstruction knows of its image
LATENTS = 50
GOALS = "goals: 5 times as fast, a third of the memory, equal counts"


def features(images: int, count: int, error: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Results and targets (N, D) float32, after a ReLU as those of the field's networks are.

    They differ in 50 dimensions and a little in all others; with `error` None, in all alike.
    """
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((LATENTS, count), np.float32)
    sides = [np.empty((images, count), np.float32) for _ in range(2)]
    for k in range(images):
        latents = generator.standard_normal(LATENTS, np.float32)
        for side, sd in zip(sides, (error, 0.0)):
            generator.standard_normal(out=side[k], dtype=np.float32)
            if error is not None:
                missed = np.float32(sd) * generator.standard_normal(LATENTS, np.float32)
                side[k] += (latents + missed) @ basis
            np.maximum(side[k], 0, out=side[k])
    return sides[0], sides[1]


def notebook(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) win rates, ties lost, as ``final_evaluations.ipynb`` of MindEye2 counts them."""
    n = len(result)
    similar = np.corrcoef(target, result)[:n, n:]
    return (similar < np.diag(similar)).sum(axis=0) / (n - 1)


def ours(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    return two_way(result, target, strict=True)


WAYS = {"notebook": notebook, "harness": ours}


def peak(work, sides: tuple[np.ndarray, np.ndarray]) -> tuple[float, np.ndarray]:
    """GB allocated at most, and the win rates."""
    tracemalloc.start()
    win_rates = work(*sides)
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest / 1e9, win_rates


def compare(name: str, images: int, count: int, repeats: int) -> bool:
    """Print what `name` took; whether all counts are equal."""
    sides = features(images, count, ROWS[name])
    peaks, win_rates = {}, {}
    for way, work in WAYS.items():
        peaks[way], win_rates[way] = peak(work, sides)
    clocks = {"wall": time.perf_counter, "CPU": time.process_time}
    times = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, work in WAYS.items():
            started = [clock() for clock in clocks.values()]
            work(*sides)
            times[way].append([clock() - start for clock, start in zip(clocks.values(), started)])
    equal = int((win_rates["notebook"] == win_rates["harness"]).sum())
    ratios = np.median(np.divide(times["notebook"], times["harness"]), axis=0)
    notebook_time, own_time = (np.median(times[way], axis=0) for way in WAYS)
    lines = [(*row, "s") for row in zip(clocks, notebook_time, own_time, ratios)]
    lines.append(("peak", peaks["notebook"], peaks["harness"], peaks["notebook"] / peaks["harness"], "GB"))
    print(f"{name}: mean win rate {win_rates['harness'].mean():.3f}, equal counts {equal} of {images}")
    for what, theirs, own, ratio, unit in lines:
        print(f"  {what:<6} {theirs:9.2f} {unit:<2} {own:9.2f} {unit:<2} {ratio:8.1f}", flush=True)
    return equal == images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--features", type=int, default=184_512)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    print(f"two-way identification, {given.images} images x {given.features} features; {GOALS}")
    print(f"{'':8} {'notebook':>12} {'harness':>12} {'ratio':>8}")
    equal = [compare(name, given.images, given.features, given.repeats) for name in ROWS]
    if not all(equal):
        raise SystemExit("the counts differ")


if __name__ == "__main__":
    main()
