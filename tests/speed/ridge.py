"""Ridge with a penalty for each voxel against scikit-learn: CPU seconds, choices and memory, in one run.

    OMP_NUM_THREADS=1 python tests/speed/ridge.py                # all on a slice of the voxels
    OMP_NUM_THREADS=1 python tests/speed/ridge.py --whole        # ours on all voxels too: seconds and memory

The problem is that of NSD's subj01: 9,000 images x 768 features -> 15,724 voxels, 15 penalties, 5 folds.
The loop fits scikit-learn's ``Ridge`` for each fold and penalty; a part of its fits is timed and counted for
all of them (their work is the same), and its choices are checked on a smaller problem that it does whole.
``RidgeCV(alpha_per_target=True)`` chooses by leaving out one image, so that its choices are its own.  CPU
seconds of this process are compared, since a machine that others use stretches the clock.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge, RidgeCV

from harness.solvers.ridge import PENALTIES, fit_ridge, fold_numbers

N, P, V, FOLDS = 9000, 768, 15724, 5
SHARE = 0.1
"""Of the variance of a voxel that its features explain."""


def problem(n: int, voxels: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(n, P) features of falling variance, standardised, (n, voxels) responses, float32, and ids."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, P)).astype(np.float32) @ (
        rng.standard_normal((P, P)).astype(np.float32) * (1 + np.arange(P, dtype=np.float32)) ** -0.5
    )
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    y = np.empty((n, voxels), np.float32)
    for start in range(0, voxels, 1024):
        part = y[:, start : start + 1024]
        signal = x @ rng.standard_normal((P, part.shape[1])).astype(np.float32)
        share = rng.uniform(0, 2 * SHARE, part.shape[1]).astype(np.float32)
        noise = rng.standard_normal(part.shape).astype(np.float32)
        part[:] = signal / signal.std(axis=0) * np.sqrt(share) + noise * np.sqrt(1 - share)
    return x, y, [f"image-{k}" for k in range(n)]


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what `call` gives."""
    before = time.process_time()
    result = call()
    return time.process_time() - before, result


def loop_errors(
    x: np.ndarray, y: np.ndarray, fold: np.ndarray, pairs: list[tuple[int, float]]
) -> dict[Any, Any]:
    """(fold, penalty) -> (V,) held-out mean squared error of scikit-learn's Ridge."""
    errors = {}
    for k, penalty in pairs:
        train, held = fold != k, fold == k
        model = Ridge(alpha=penalty).fit(x[train], y[train])
        errors[k, penalty] = ((y[held] - model.predict(x[held])) ** 2).mean(axis=0)
    return errors


def same_choices(n: int = 1200, voxels: int = 200) -> tuple[float, float]:
    """Share of voxels for which the whole loop chooses the same penalty, and by how much the loop's error at
    ours is above its least one, at most."""
    x, y, ids = problem(n, voxels)
    fold = fold_numbers(ids, FOLDS)
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    pairs = [(k, penalty) for k in range(FOLDS) for penalty in PENALTIES]
    held = loop_errors(x64, y64, fold, pairs)
    mean = np.array([np.mean([held[k, a] for k in range(FOLDS)], axis=0) for a in PENALTIES])
    ours = fit_ridge(x, y, ids=ids, standardise=False)
    at = np.array([PENALTIES.index(a) for a in ours.penalties])
    excess = mean[at, np.arange(voxels)] / mean.min(axis=0) - 1
    return float((at == mean.argmin(axis=0)).mean()), float(excess.max())


def main() -> None:
    """Print the table."""
    words = argparse.ArgumentParser()
    words.add_argument("--voxels", type=int, default=2048)
    words.add_argument("--fits", type=int, default=5, help="of the loop's 75 that are timed")
    words.add_argument("--whole", action="store_true")
    given = words.parse_args()
    x, y, ids = problem(N, given.voxels)
    fold = fold_numbers(ids, FOLDS)
    all_pairs = [(k, penalty) for penalty in PENALTIES for k in range(FOLDS)]
    pairs = all_pairs[:: len(all_pairs) // given.fits][: given.fits]
    lines = []
    ours, _ = timed(lambda: fit_ridge(x, y, ids=ids, standardise=False))
    lines.append(("ours, float64 inside", ours, 1.0, "whole"))
    for dtype in (np.float64, np.float32):
        a, b = x.astype(dtype), y.astype(dtype)
        part, _ = timed(lambda a=a, b=b: loop_errors(a, b, fold, pairs))
        refit, _ = timed(lambda a=a, b=b: Ridge(alpha=100.0).fit(a, b))
        seconds = part * len(all_pairs) / len(pairs) + refit
        note = f"{len(pairs)} of {len(all_pairs)} fits timed"
        lines.append((f"loop of Ridge, {dtype.__name__}", seconds, seconds / ours, note))
        seconds, _ = timed(lambda a=a, b=b: RidgeCV(alphas=PENALTIES, alpha_per_target=True).fit(a, b))
        lines.append((f"RidgeCV(alpha_per_target), {dtype.__name__}", seconds, seconds / ours, "whole"))
    agreeing, excess = same_choices()
    out = [
        f"{N:,} x {P} -> {given.voxels:,} of {V:,} voxels, {len(PENALTIES)} penalties, {FOLDS} folds, "
        "CPU seconds, one thread",
        "",
        "| | CPU s | times ours | |",
        "|---|---|---|---|",
        *(f"| {name} | {seconds:.1f} | {ratio:.1f} | {note} |" for name, seconds, ratio, note in lines),
        "",
        f"Same penalty as the whole loop for {agreeing:.1%} of voxels; where it is another, the loop's error "
        f"there is at most {excess:.1e} above its least.",
    ]
    if given.whole:
        del x, y
        x, y, ids = problem(N, V)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        seconds, _ = timed(lambda: fit_ridge(x, y, ids=ids, standardise=False))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        out.append(f"Ours on all voxels: {seconds:.1f} CPU s, peak {peak:.2f} GiB ({before:.2f} before it).")
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main()
