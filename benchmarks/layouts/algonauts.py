"""Benchmark ``algonauts2023``: the challenge's training split, of which a tenth is held out.

The challenge keeps the responses to its own test images, so a tenth of the training images, chosen by a
hash of their ids, is the test set.  The responses were z-scored by session over all trials by who made them.
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.arrays import ArraySource, open_array
from harness.reading.pickled_names import read_pickled_names

from ..assembly import VoxelFacts
from .benchmark import LayoutBenchmark
from .nsd_design import image_name
from .nsd_surface import SIDES, vertex_numbers
from .recording import ComputedRows, Recording, trials_of

_PICTURE = re.compile(r"train-(\d+)_nsd-(\d+)")
_TENTH = 10


class Algonauts2023(LayoutBenchmark):
    """Vertices of both hemispheres in challenge space; Gifford et al. 2023."""

    layout: ClassVar[str] = "algonauts2023"
    images_of: ClassVar[str] = "algonauts-2023"
    default_test: ClassVar[str] = "tenth"

    def training_sets(self) -> tuple[str, ...]:
        """The image set that training images are of: it holds images of NSD's shared 1,000."""
        return ("algonauts-2023-train",)

    def read(self, root: Path, subject: str) -> Recording:
        """One row per image, left then right vertices; rows are named by the numbers in the pictures'
        names."""
        manifest = self.manifest()
        names: dict[int, Path] = {}
        for values, path in manifest.entry("pictures").find(root, subject=subject):
            match = _PICTURE.fullmatch(values["picture"])
            if not match:
                raise DataError(
                    f"{path} is not called train-NNNN_nsd-IIIII.png, which tells its row and its image"
                )
            if int(match[1]) in names:
                raise DataError(f"two pictures of {path.parent} are called train-{match[1]}")
            names[int(match[1])] = path
        sides = [
            open_array(manifest.entry(f"{side}_responses").file(root, subject=subject))
            for side in ("left", "right")
        ]
        count = sides[0].shape[0]
        if sorted(names) != list(range(1, count + 1)):
            absent = sorted(set(range(1, count + 1)) - set(names))
            which = f"train-{absent[0]:04d} is not there" if absent else f"there are {len(names)}"
            raise DataError(f"the responses of {subject} have {count} rows, and of the pictures {which}")
        files = [names[k].name for k in range(1, count + 1)]
        images = self.pictures(names[1].parent, files)
        ids = [image_name(int(_PICTURE.match(name)[2])) for name in files]
        widths = [side.shape[1] for side in sides]
        what = f"{sides[0].what} and {sides[1].what}"
        source = ComputedRows((count, sum(widths)), what, partial(_side_by_side, sides))
        return Recording(
            trials_of(source, images, ids, np.arange(count)),
            VoxelFacts(
                rois=self._regions(root, subject, widths), vertices=self._vertices(root, subject, widths)
            ),
            "zscore_session",
            {"tenth": tuple(name for name in ids if _chosen(name))},
            mask="challenge",
            normalised=True,
        )

    def _vertices(self, root: Path, subject: str, widths: list[int]) -> np.ndarray | None:
        manifest = self.manifest()
        by_side = [manifest.entry(f"{side}_vertices").find(root, subject=subject) for side in SIDES]
        if not all(by_side):
            return None
        masks = [open_array(files[0][1]).read().ravel() > 0 for files in by_side]
        if [int(mask.sum()) for mask in masks] != widths:
            raise DataError(
                f"{by_side[0][0][1].parent}: the masks of all vertices are not of the responses' {widths}"
            )
        return vertex_numbers(masks)

    def _regions(self, root: Path, subject: str, widths: list[int]) -> dict[str, np.ndarray]:
        manifest = self.manifest()
        names = {v["atlas"]: path for v, path in manifest.entry("region_names").find(root, subject=subject)}
        labels: dict[str, list[np.ndarray]] = {}
        for side, name in enumerate(("left_regions", "right_regions")):
            for values, path in manifest.entry(name).find(root, subject=subject):
                both = labels.setdefault(values["atlas"], [np.zeros(width, np.int64) for width in widths])
                both[side] = open_array(path).read().astype(np.int64)
        rois = {}
        for atlas, both in labels.items():
            numbers = np.concatenate(both)
            called = read_pickled_names(names[atlas]) if atlas in names else {}
            for number in np.unique(numbers[numbers > 0]).tolist():
                rois[called.get(number, f"{atlas}-{number}")] = numbers == number
        return rois


def _side_by_side(sides: list[ArraySource], positions: np.ndarray) -> np.ndarray:
    """(n, V) left, then right vertices."""
    return np.concatenate([side.take(positions) for side in sides], axis=1)


def _chosen(name: str) -> bool:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % _TENTH == 0
