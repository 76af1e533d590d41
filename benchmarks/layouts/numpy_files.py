"""Benchmarks ``nsd-brain-diffuser`` and ``nsd-synbrain``: NSD in the arrays that these projects' scripts
write.

Rows have no ids: they are in the order in which the subject first saw the images, other than the order of
image numbers that MindEye2's files have.  With ``nsd_expdesign.mat`` at its place they get the ids of all
other layouts of NSD; without it they are numbered, and comparing them with another layout's predictions is
refused by id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import DataError
from harness.reading.arrays import ArraySource, open_array
from harness.reading.pixels import Scale
from harness.reading.resizing import Resize

from ..assembly import VoxelFacts
from ..paired_images import ArrayImages, ImageLayout
from ..paired_responses import ResponseTable
from .benchmark import LayoutBenchmark
from .nsd import PERCENT
from .nsd_design import Design, image_name
from .recording import ComputedRows, Recording, trials_of

TRIALS_PER_SESSION = 750


class NumpyFiles(LayoutBenchmark):
    """What both share."""

    factor: ClassVar[float]
    sessions_used: ClassVar[int]
    default_test: ClassVar[str]
    normalise: ClassVar[str] = "zscore"

    def read(self, root: Path, subject: str) -> Recording:
        """Training rows, then test rows, as percent signal change."""
        manifest = self.manifest()
        tables, pictures = [], []
        for split in ("training", "test"):
            entry = manifest.entry(f"{split}_betas")
            source = open_array(entry.file(root, subject=subject))
            layout = "images-repeats-voxels" if len(source.shape) == 3 else "trials-first"
            tables.append(ResponseTable(source, layout))
            pictures.append(open_array(manifest.entry(f"{split}_stimuli").file(root, subject=subject)))
        counts = [table.shape[0] // table.repeats for table in tables]
        for table, source, count in zip(tables, pictures, counts):
            if source.shape[0] != count:
                raise DataError(f"{source.what} has {source.shape[0]} images and {table.what} {count} rows")
        images = _Both(*(_WholeImages(source, self.params.resize()) for source in pictures))
        names = self._names(root, subject, counts)
        index = [np.arange(table.shape[0]) // table.repeats for table in tables]
        if tables[0].shape[1] != tables[1].shape[1]:
            raise DataError(
                f"{tables[0].what} has {tables[0].shape[1]} voxels and {tables[1].what} {tables[1].shape[1]}"
            )
        shape = (sum(table.shape[0] for table in tables), tables[0].shape[1])
        source = ComputedRows(shape, f"betas of {subject}", partial(_scaled, tables, self.factor))
        return Recording(
            trials_of(source, images, names, np.concatenate([index[0], index[1] + counts[0]])),
            VoxelFacts(),
            "percent",
            {self.default_test: tuple(names[counts[0] :])},
            mask="nsdgeneral",
        )

    def _names(self, root: Path, subject: str, counts: list[int]) -> list[str]:
        manifest = self.manifest()
        if not manifest.entry("experiment_design").find(root):
            return [f"{part}-{k:05d}" for part, count in zip(("train", "test"), counts) for k in range(count)]
        design = Design.read(manifest, root)
        shown = design.shown(
            subject, np.arange(min(len(design.order), self.sessions_used * TRIALS_PER_SESSION))
        )
        first = list(dict.fromkeys(shown.tolist()))
        shared = set(design.shared.tolist())
        split = [[k for k in first if k not in shared], [k for k in first if k in shared]]
        for part, listed, count in zip(("training", "test"), split, counts):
            if len(listed) != count:
                raise DataError(
                    f"the {part} arrays of {subject} have {count} images; {design.path} lists "
                    f"{len(listed)} in "
                    f"{self.sessions_used} sessions, so that rows cannot be named"
                )
        return [image_name(k) for part in split for k in part]


class NsdBrainDiffuser(NumpyFiles):
    """Means over the repeats in 37 sessions, NSD's own int16 as float; Ozcelik and VanRullen 2023."""

    layout: ClassVar[str] = "nsd-brain-diffuser"
    images_of: ClassVar[str] = "nsd"
    factor: ClassVar[float] = 1 / PERCENT
    sessions_used: ClassVar[int] = 37
    default_test: ClassVar[str] = "shared982"


class NsdSynBrain(NumpyFiles):
    """Three repeats each in 40 sessions, NSD's own int16 / 2000; SynBrain 2025."""

    layout: ClassVar[str] = "nsd-synbrain"
    images_of: ClassVar[str] = "nsd"
    factor: ClassVar[float] = 2000 / PERCENT
    sessions_used: ClassVar[int] = 40
    default_test: ClassVar[str] = "shared1000"


def _scaled(tables: list[ResponseTable], factor: float, positions: np.ndarray) -> np.ndarray:
    """(n, V) float32 rows of the first table, then of the second, times a factor."""
    values = np.empty((len(positions), tables[0].shape[1]), np.float32)
    late = positions >= tables[0].shape[0]
    for table, chosen, start in zip(tables, (~late, late), (0, tables[0].shape[0])):
        if chosen.any():
            values[chosen] = table.rows(positions[chosen] - start) * factor
    return values


@dataclass(frozen=True)
class _Both:
    """Training pictures, then test pictures."""

    train: _WholeImages
    test: _WholeImages

    @property
    def what(self) -> str:
        """Their files."""
        return f"{self.train.what} and {self.test.what}"

    def __len__(self) -> int:
        return len(self.train) + len(self.test)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) uint8 at `positions`."""
        positions = np.asarray(positions, np.int64)
        late = positions >= len(self.train)
        parts = [self.train.read(positions[~late]), self.test.read(positions[late] - len(self.train))]
        whole = next(part for part in parts if len(part))
        out = np.empty((len(positions), *whole.shape[1:]), whole.dtype)
        for chosen, part in zip((~late, late), parts):
            if len(part):
                out[chosen] = part
        return out


class _WholeImages:
    """Pictures of whole numbers from 0 to 255, stored as float64 or uint8, read as uint8."""

    def __init__(self, source: ArraySource, resize: Resize) -> None:
        self.what = source.what
        self._source, self._resize = source, resize
        ArrayImages(source, ImageLayout("nhwc"), scale=Scale(255.0), resize=resize)  # checks axes and type

    def __len__(self) -> int:
        return self._source.shape[0]

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) uint8 at `positions`."""
        block = self._source.take(np.asarray(positions, np.int64))
        whole = np.round(block)
        if not np.array_equal(whole, block) or (len(block) and (whole.min() < 0 or whole.max() > 255)):
            raise DataError(
                f"{self.what} holds other values than whole numbers from 0 to 255; were they rescaled?"
            )
        return self._resize.all(whole.astype(np.uint8), what=self.what)
