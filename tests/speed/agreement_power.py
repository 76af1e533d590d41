"""From how many images on does agreement beyond the stimulus tell the truth from a ridge on CLS?

Run by hand; ``reports.html.TELLING`` rests on it:

    python tests/speed/agreement_power.py linear 1000
    python tests/speed/agreement_power.py mindeye2 200

Test scenes of the simulated cortex are decoded once for each row, and pools of N of them are drawn
without replacement.  Told apart: the 95 % interval of the paired difference of noise-free truth and
ridge on the CLS token excludes 0.  The standard error falls as 1 / sqrt(N), by which figures are carried
to larger pools than were decoded.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from harness.metrics.agreement import controlled_agreement
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import read_request
from harness.stages.features import FeatureStore
from harness.storage.opening import open_executor
from harness.storage.store import Store

POOLS = (25, 50, 100, 150, 200, 300, 400)
ROWS = ("oracle", "predicted")


def decoded(decoder: str, store: Store, *, images: int) -> dict[str, np.ndarray]:
    """Row -> (N, D) pixels of its reconstructions, with ``stimulus``, ``measured`` and ``rendered``."""
    words = [f"benchmark.n_test={images}", "encoder.preset=cls", "run.metrics=[decoded-agreement-controlled]"]
    plugins = {"benchmark": "embedded", "encoder": "ridge", "decoder": decoder, "subject": None}
    plan = make_plan(read_request(None, words, plugins=plugins))
    outcome = run_plan(plan, store)
    features = FeatureStore(store, open_executor("inline", workers=1, device="cpu"), device="cpu")
    sets = {of_row.row: of_row for of_row in outcome.sets}
    whole = sets["predicted"]
    wanted = {row: sets[row].images for row in ROWS}
    wanted |= {"stimulus": whole.stimuli, "measured": whole.redrawn, "rendered": whole.rendered}
    return {
        name: features.layer("pixels", "rgb8", of_row).reshape(images, -1) for name, of_row in wanted.items()
    }


def told_apart(pixels: dict[str, np.ndarray], size: int, *, draws: int, seed: int = 0) -> tuple[float, ...]:
    """Means of the two rows, of the difference's standard error, and the share of pools that tell."""
    rng, lines = np.random.default_rng(seed), []
    for _ in range(draws):
        at = rng.permutation(len(pixels["stimulus"]))[:size]
        others = [pixels[name][at] for name in ("measured", "stimulus", "rendered")]
        first, second = (controlled_agreement(pixels[row][at], *others) for row in ROWS)
        difference = first - second
        error = difference.std(ddof=1) / np.sqrt(size)
        lines.append((first.mean(), second.mean(), error, difference.mean() > 1.96 * error))
    return tuple(np.mean(lines, axis=0))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        decoder, images = sys.argv[1], int(sys.argv[2])
        pixels = decoded(decoder, Store(Path(folder)), images=images)
        for size in (size for size in POOLS if 2 * size <= images):
            truth, ridge, error, told = told_apart(pixels, size, draws=20)
            line = f"{size} images: truth {truth:.3f}, ridge {ridge:.3f}, SE {error:.3f}, told {told:.0%}\n"
            sys.stdout.write(line)


if __name__ == "__main__":
    main()
