"""Count the training scenes of the small networks that occur in the benchmark, by content hash.

``python -m harness.backbones.tiny.train_leakage [--logs FOLDER] [--cache FOLDER]`` writes ``leakage.json``
beside the logs: all four subjects' training scenes and all test scenes against those of every network that
has a log there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.api import image_sha
from harness.benchmarks.cortex import SUBJECTS
from harness.benchmarks.embedded import _SUBJECT_STRIDE, MAX_TEST, MAX_TRAIN
from harness.benchmarks.scenes import draw

from .backbone import FOLDER
from .train_data import training_scenes

CHUNK = 1000


def benchmark_hashes() -> list[str]:
    """Hash of every image that ``embedded`` can show, training images of all subjects included."""
    firsts = [number * _SUBJECT_STRIDE for number in range(len(SUBJECTS))]
    hashes = [image_sha(image) for image in draw("test", range(MAX_TEST))]
    for first in firsts:
        for start in range(first, first + MAX_TRAIN, CHUNK):
            hashes += [image_sha(image) for image in draw("train", range(start, start + CHUNK))]
    return hashes


def check(logs: Path, *, cache: Path) -> dict[str, object]:
    """Numbers of shared scenes by network, from the logs in the folder `logs`."""
    benchmark = benchmark_hashes()
    shas, networks = set(benchmark), {}
    for file in sorted(logs.glob("*.json")):
        log = json.loads(file.read_text())
        if "namespace" not in log:
            continue
        drawn = training_scenes(log["namespace"], log["scenes"], cache=cache)
        networks[log["name"]] = {
            "namespace": log["namespace"],
            "images": len(drawn),
            "training_images_sha256": drawn.sha,
            "shared_with_benchmark": len(shas & set(drawn.hashes)),
        }
    return {"benchmark_images": len(benchmark), "networks": networks}


def main() -> None:
    """Check and write the result."""
    parser = argparse.ArgumentParser(description="training scenes against those of the benchmark")
    parser.add_argument("--cache", type=Path, default=Path("tiny-cache"))
    parser.add_argument("--logs", type=Path, default=FOLDER, help="folder of the networks' JSON logs")
    given = parser.parse_args()
    leakage = check(given.logs, cache=given.cache)
    (given.logs / "leakage.json").write_text(json.dumps(leakage, indent=1) + "\n")


if __name__ == "__main__":
    main()
