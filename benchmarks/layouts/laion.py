"""Benchmark ``laion-fmri``: LAION-fMRI's betas by session, with the splits that come with its package.

A split lists the images that train and those that test; what it lists on neither side takes no part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import CeilingSource, DataError
from harness.reading.ids import match_ids, stem
from harness.reading.image_files import read_image
from harness.reading.pixels import stacked
from harness.reading.prepared import Block
from harness.reading.records import read_records
from harness.reading.resizing import Resize
from harness.reading.sources import reading
from harness.reading.texts import read_text
from harness.reading.volumes import open_volume

from ..assembly import VoxelFacts
from ..paired_voxels import ncsnr_of
from .benchmark import FOLDER, LayoutBenchmark
from .manifest import header
from .recording import (
    Recording,
    in_order_shown,
    masked_facts,
    prepared,
    read_mask,
    read_masked,
    trials_of,
    with_voxels,
)

REPEATS = 12
"""Trials of which the ceiling that is read is of the mean."""


class LaionFmri(LayoutBenchmark):
    """25,052 photographs, five subjects at 7 T; LAION-fMRI 2026."""

    layout: ClassVar[str] = "laion-fmri"
    images_of: ClassVar[str] = "laion-fmri"
    default_test: ClassVar[str] = "tau"

    def read(self, root: Path, subject: str) -> Recording:
        """Trials of all sessions that are there, each with its own list."""
        manifest = self.manifest()
        volume, mask = read_mask(manifest.entry("mask").file(root, subject=subject))
        lists = {v["session"]: path for v, path in manifest.entry("trials").find(root, subject=subject)}
        blocks, files, shown, session = [], [], [], []
        for values, path in manifest.entry("betas").find(root, subject=subject):
            number = values["session"]
            if number not in lists:
                raise DataError(
                    f"{path} has no list of trials beside it (…_desc-SingletrialBetas_trials.tsv)"
                )
            labels = _labels(lists[number])
            count = header(path)[0][-1]
            if count != len(labels):
                raise DataError(f"{path} has {count} volumes and {lists[number].name} lists {len(labels)}")
            blocks.append(Block(count, partial(read_masked, path, mask)))
            files.append(path)
            shown += labels
            session += [int(number)] * count
        source = prepared(
            blocks,
            [*files, volume.path],
            n_voxels=int(mask.sum()),
            what=f"LAION-fMRI betas of {subject}",
            depends_on=("laion-fmri", np.flatnonzero(mask).tobytes()),
        )
        names, index = in_order_shown(shown)
        images = self._images(root, names)
        test_sets, training_sets = self._splits(root, subject, names)
        return Recording(
            trials_of(
                source,
                images,
                [stem(name) for name in names],
                index,
                session=np.array(session),
            ),
            self._facts(root, subject, mask, volume.affine),
            "raw",
            test_sets,
            mask="brain",
            training_sets=training_sets,
        )

    def _images(self, root: Path, names: Sequence[str]) -> PackedImages:
        manifest = self.manifest()
        listed = manifest.entry("stimulus_names").file(root)
        held = read_records(listed, needs=("image_name",)).text("image_name")
        matches = match_ids(names, held, what=str(listed))
        absent = [name for name in names if name not in matches]
        if absent:
            raise DataError(f"{listed} lists no picture for {len(absent)} labels, for example '{absent[0]}'")
        place = {name: k for k, name in enumerate(held)}
        rows = np.array([place[matches[name]] for name in names])
        return PackedImages(manifest.entry("stimuli").file(root), rows, len(held), self.params.resize())

    def _splits(
        self, root: Path, subject: str, names: Sequence[str]
    ) -> tuple[Mapping[str, tuple[str, ...]], Mapping[str, tuple[str, ...]]]:
        """Test and training ids of each split: ``tau`` of the subject's pool, ``shared/tau`` of the shared
        one."""
        entry, shown = self.manifest().entry("splits"), set(names)
        tests, trains = {}, {}
        for pool in (subject, "shared"):
            for values, path in entry.find(root, pool=pool):
                sides = read_split(path)
                name = values["split"] if pool == subject else f"shared/{values['split']}"
                tests[name], trains[name] = (
                    tuple(stem(label) for label in side if label in shown) for side in sides
                )
        return tests, trains

    def _facts(self, root: Path, subject: str, mask: np.ndarray, affine: np.ndarray) -> VoxelFacts:
        manifest, rois = self.manifest(), {}
        for values, path in manifest.entry("regions").find(root, subject=subject):
            rois[values["region"]] = open_volume(path).read()[mask] > 0
        ncsnr, source = None, None
        for _, path in manifest.entry("ceiling").find(root, subject=subject):
            ncsnr = ncsnr_of(open_volume(path).read()[mask].astype(np.float64) / 100, REPEATS)
            source = CeilingSource(f"noise ceiling of the data set ({path.name})")
        return masked_facts(mask, affine, with_voxels(rois), ncsnr=ncsnr, ncsnr_source=source)


def _labels(path: Path) -> list[str]:
    """Label of each volume; rows go by their ``beta_index``."""
    records = read_records(path, needs=("beta_index", "label"))
    order = records.integers("beta_index")
    if sorted(order.tolist()) != list(range(len(order))):
        raise DataError(f"{path}: beta_index is not 0 to {len(order) - 1}, each once")
    labels = records.text("label")
    return [labels[row] for row in np.argsort(order)]


def read_split(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the test images and of the training images of a bundled split; anything else is a
    :class:`DataError`."""
    try:
        variant = json.loads(read_text(path))["variants"][0]
        sides = variant["test_ids"], variant["train_ids"]
    except (ValueError, LookupError, TypeError, RecursionError):
        sides = None
    if not sides or not all(
        isinstance(side, list) and all(isinstance(n, str) for n in side) for side in sides
    ):
        raise DataError(f"{path} is no split of laion_fmri: variants[0] with train_ids and test_ids")
    both = sorted(set(sides[0]) & set(sides[1]))
    if both:
        raise DataError(f"{path} lists '{both[0]}' on both sides ({len(both)} such)")
    return tuple(sides[0]), tuple(sides[1])


@dataclass(frozen=True)
class PackedImages:
    """Pictures whose files lie as bytes in one HDF5 data set, ``images`` (n,), at `rows` of `count`."""

    path: Path
    rows: np.ndarray
    count: int
    resize: Resize

    @property
    def what(self) -> str:
        """The file."""
        return self.path.name

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) uint8 at `positions`."""
        import h5py

        images = []
        with reading(self.path), h5py.File(self.path, "r") as file:
            packed = file.get("images")
            if (
                packed is None
                or packed.shape != (self.count,)
                or h5py.check_vlen_dtype(packed.dtype) != np.uint8
            ):
                raise DataError(
                    f"{self.path} has no 'images' of {self.count} rows of bytes, one for each name"
                )
            for k in positions:
                what = f"picture {self.rows[k]} of {self.path}"
                image = read_image(Path(what), packed[self.rows[k]].tobytes())
                images.append((what, self.resize.image(image, what=what)))
        return stacked(images, door=FOLDER)
