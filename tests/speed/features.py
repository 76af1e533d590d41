"""Memory while features are extracted, kept and read for a fit: it must not grow with the number of images.

    python tests/speed/features.py [--images 10000] [--dinov2 200]

First the small network for encoders, every layer; then DINOv2 ViT-B/14 with random weights, its patches.  The
layers are read as a fit reads them that are larger than memory: rows of random images, a batch at a time.
Printed is a curve: images done, memory of the process without the files that it maps (MB), and what lies on
disk.  The end must not be more than a tenth, or 64 MB, above the first quarter.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.backbones.catalogue import ROWS as BACKBONES
from harness.backbones.transformers_models import DINOv2
from harness.data import Stimuli
from harness.stages import extraction
from harness.stages import features as stage
from harness.stages.features import FeatureStore
from harness.storage.executors import Inline
from harness.storage.store import Store
from harness.storage.worker import forget

BATCH, POINTS = 32, 8


class RandomDINOv2(DINOv2):
    """The network with the weights that it begins with."""

    def __init__(self) -> None:
        row = next(row for row in BACKBONES if row.name == "dinov2").build.load()()
        super().__init__(name=row.name, weights=row.weights, preprocessing=row.preprocessing)

    def open(self, *, device: str) -> None:
        import torch
        from transformers import Dinov2Config, Dinov2Model

        torch.manual_seed(0)
        self._network = Dinov2Model(Dinov2Config(**self.config)).eval().requires_grad_(False)


def noise(count: int, side: int) -> Stimuli:
    """Pictures that are made when they are asked for."""

    def read(places: np.ndarray) -> np.ndarray:
        return np.stack(
            [np.random.default_rng(int(k)).integers(0, 256, (side, side, 3)).astype(np.uint8) for k in places]
        )

    return Stimuli([f"image-{k:06d}" for k in range(count)], read)


def anonymous() -> float:
    """MB of this process, mapped files left out."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def curve(what: str, points: list[tuple[int, float]]) -> bool:
    """Print it; whether it is flat after its first quarter."""
    print(f"{what}: " + ", ".join(f"{images:,} {memory:.0f}" for images, memory in points), flush=True)
    early, late = points[len(points) // 4][1], points[-1][1]
    return late <= max(1.1 * early, early + 64)


def measured(backbone: str, layers: list[str], stimuli: Stimuli) -> bool:
    """Both curves of one backbone; whether both are flat."""
    step, points, done, flat = max(1, len(stimuli) // POINTS), [], 0, []
    with tempfile.TemporaryDirectory() as name:
        features = FeatureStore(Store(Path(name)), Inline(), device="cpu")

        def note(images: int) -> None:
            nonlocal done
            done += images
            if not points or done - points[-1][0] >= step or done == len(stimuli):
                points.append((done, anonymous()))

        began = time.process_time()
        features.extract(backbone, layers, [stimuli], progress=note)
        took = time.process_time() - began
        size = sum(file.stat().st_size for file in Path(name).rglob("features.npy")) / 1e6
        what = f"{backbone}, {len(stimuli):,} images, {len(layers)} layers"
        print(f"{what}: {took:.0f} CPU s, {size:.0f} MB on disk", flush=True)
        flat.append(curve("extracted, MB", points))
        stage.LARGE = 0
        points, order = [], np.random.default_rng(0).permutation(len(stimuli))
        opened = [features.layer(backbone, layer, stimuli) for layer in layers]
        for start in range(0, len(order), BATCH):
            at = order[start : start + BATCH]
            for rows in opened:
                np.asarray(rows[at], np.float32).sum()
            if not points or start + len(at) - points[-1][0] >= step or start + len(at) == len(order):
                points.append((start + len(at), anonymous()))
        flat.append(curve("read by a fit, MB", points))
    return all(flat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000, help="through the small network")
    parser.add_argument("--dinov2", type=int, default=200, help="images through DINOv2")
    given = parser.parse_args()
    flat = []
    if given.images:
        layers = ["cls", "patches", "block1", "block2", "block3", "block4"]
        flat.append(measured("scenes@tiny", layers, noise(given.images, 64)))
    if given.dinov2:
        forget()
        backbone = RandomDINOv2()
        backbone.open(device="cpu")
        extraction.open_backbone = lambda name, device: backbone
        stage.backbone_identity = lambda name: {"backbone": name, "weights": "random"}
        flat.append(measured("dinov2", ["patches", "block6"], noise(given.dinov2, 224)))
    if not all(flat):
        sys.exit("memory grows with the number of images")


if __name__ == "__main__":
    main()
