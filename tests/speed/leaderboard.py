"""How long a leaderboard of 200 runs takes, and how much memory: 1 subject, 2 rows, 14 scores, 1,000 images.

    python tests/speed/leaderboard.py                 # 200 runs, 5.6 million values
    python tests/speed/leaderboard.py --decoders 10   # 20 encoders through ten decoders

Runs are generated: graded systems, whose images are hard or easy for all of them.  The time is that of
reading the runs, computing and writing every format, in CPU seconds of a process of its own; beside it stands
what reading the same files through pandas alone takes on this machine, since machines differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.results import SCORE_COLUMNS

ROWS = ("measured", "predicted")
METRICS = 14

BUILD = """
import resource, sys, time
start = time.process_time()
from harness.reports.leaderboard import leaderboard
board = leaderboard([sys.argv[1]])
built = time.process_time()
board.write(sys.argv[2])
end = time.process_time()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{built - start:.2f} {end - built:.2f} {peak:.0f} {len(board.boards[0].board.systems)}")
"""


def write_run(folder: Path, number: int, images: int, decoders: int) -> None:
    """One run whose quality grows with its `number`."""
    encoder, decoder = f"encoder-{number // decoders:03d}", f"decoder-{number % decoders:02d}"
    rng = np.random.default_rng([number, images])
    folder.mkdir(parents=True)
    ids = np.array([f"nsd-{k:05d}" for k in range(images)])
    metrics = [f"metric-{k:02d}@1" for k in range(METRICS)]
    lines = []
    for row in ROWS:
        for k, metric in enumerate(metrics):
            # Measured rows are the same in all runs, as they are with one decoder.
            own = rng if row == "predicted" else np.random.default_rng(k)
            hard = np.random.default_rng([7, k]).normal(0, 0.15, images)
            level = 0.4 + 0.001 * number if row == "predicted" else 0.6
            value = level + hard + own.normal(0, 0.1, images)
            lines.append((row, metric, value))
    n = len(lines) * images
    table = {
        "row": np.repeat([row for row, _, _ in lines], images),
        "metric": np.repeat([metric for _, metric, _ in lines], images),
        "image_id": np.tile(ids, len(lines)),
        "value": np.concatenate([value for *_, value in lines]),
        "run": np.full(n, folder.name),
        "benchmark": np.full(n, "nsd@1"),
        "subject": np.full(n, "subj01"),
        "encoder": np.full(n, encoder),
        "adapter": np.full(n, "none"),
        "decoder": np.full(n, decoder),
        "selection": np.full(n, "first"),
        "target": np.full(n, "stimulus"),
        "trial": np.full(n, -1),
        "sample": np.zeros(n, np.int64),
        "backbone": np.full(n, ""),
        "n": np.full(n, images),
        "pool": np.full(n, ""),
        "rivalry": np.zeros(n),
    }
    columns = {name: table[name] for name in SCORE_COLUMNS}
    pq.write_table(pa.table(columns), folder / "scores.parquet", compression="zstd")
    described = [
        {"name": name, "label": name, "inputs": "images", "unit": "image", "targets": ["stimulus"]}
        for name in metrics
    ]
    record = {
        "schema": 1,
        "run": folder.name,
        "benchmark": {"name": "nsd", "version": "1"},
        "subject": "subj01",
        "n_train": 9000,
        "n_test": images,
        "encoder": {"name": encoder, "version": "1", "params": {"depth": 4}},
        "decoder": {"name": decoder, "version": "1", "params": {}},
        "adapter": "none",
        "selection": "first",
        "seed": 0,
        "samples": 1,
        "rows": [{"name": row, "label": row, "group": "compared"} for row in ROWS],
        "metrics": described,
        "data_sha": {"test_stimuli": "a" * 64, "test_responses": "b" * 64},
    }
    (folder / "run.json").write_text(json.dumps(record))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--decoders", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as kept:
        runs, out = Path(kept) / "runs", Path(kept) / "leaderboard"
        for number in range(given.runs):
            write_run(runs / f"run-{number:03d}", number, given.images, given.decoders)
        start = time.process_time()
        for number in range(given.runs):
            pd.read_parquet(runs / f"run-{number:03d}" / "scores.parquet")
        plain = time.process_time() - start
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(runs), str(out)], capture_output=True, text=True, check=True
        )
        built, written, peak, systems = done.stdout.split()
    values = given.runs * len(ROWS) * METRICS * given.images
    sys.stdout.write(
        f"{values:,} values of {given.runs} runs, {systems} systems: {built} s of CPU to read and compute, "
        f"{written} s to write, peak {peak} MB; pandas alone reads the files in {plain:.2f} s\n"
    )


if __name__ == "__main__":
    main()
