"""Speed of the intervals of a table, as a ratio to a plain bootstrap in the same process.

    python tests/speed/bootstrap.py

1,000 images in 20 columns.  The bootstrap draws 10,000 resamples and takes their means column by column; it
runs on fewer and is scaled up.  Bounds agree within a tenth of an interval where images are so many.
"""

from __future__ import annotations

import time

import numpy as np

from harness.statistics import mean_intervals, paired_differences

IMAGES, COLUMNS, DRAWS = 1000, 20, 10_000
LOOP_DRAWS = 1000
AGREE = 0.1  # widths of an interval; 1,000 resamples scatter by a few hundredths


def loop(matrix: np.ndarray, draws: int) -> np.ndarray:
    """(2, K) bounds from one resample after the other."""
    generator = np.random.default_rng(0)
    means = np.empty((draws, matrix.shape[1]))
    for draw in range(draws):
        drawn = generator.integers(0, len(matrix), len(matrix))
        for column in range(matrix.shape[1]):
            means[draw, column] = matrix[drawn, column].mean()
    return np.percentile(means, [2.5, 97.5], axis=0)


def seconds(work, *args, **kwargs) -> tuple[float, object]:
    """Time of the fastest of three calls, and what the last one returned."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        returned = work(*args, **kwargs)
        times.append(time.perf_counter() - started)
    return min(times), returned


def main() -> None:
    matrix = np.random.default_rng(0).gamma(2.0, size=(IMAGES, COLUMNS))
    slow, bounds = seconds(loop, matrix, LOOP_DRAWS)
    slow *= DRAWS / LOOP_DRAWS
    fast, intervals = seconds(mean_intervals, matrix)
    rivals, _ = seconds(mean_intervals, matrix, rivalry=matrix - matrix.mean(axis=0))
    tests, _ = seconds(paired_differences, matrix - matrix[::-1], flips=DRAWS)
    ours = np.array([(interval.low, interval.high) for interval in intervals]).T
    off = np.abs(ours - bounds).max() / (bounds[1] - bounds[0]).mean()
    print(f"{IMAGES} images x {COLUMNS} columns")
    print(f"plain bootstrap of {DRAWS}      {slow:9.3f} s (from {LOOP_DRAWS} resamples)")
    for name, time_taken in (("intervals", fast), ("intervals with rivalry", rivals)):
        print(f"{name:<29} {time_taken:9.3f} s, {slow / time_taken:.0f} times as fast")
    print(f"differences, {DRAWS} sign flips  {tests:9.3f} s")
    print(f"largest distance of the bounds: {off:.3f} widths of an interval")
    if off > AGREE:
        raise SystemExit("the bounds do not agree")


if __name__ == "__main__":
    main()
