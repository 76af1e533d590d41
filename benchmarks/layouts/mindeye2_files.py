"""Benchmark ``nsd-mindeye2``: NSD as MindEye2 packages it.

Betas come z-scored and are used as they are: whoever made them says that shared images were left out of the
scaler (paper), and the public notebook does not rebuild them.  The records of trials say which row of the
betas and which of the 73,000 images belong together; nothing is told by position.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import ConfigError, DataError, suggest
from harness.reading.arrays import describe, open_array
from harness.reading.pixels import Scale
from harness.reading.tars import array_of, samples

from ..assembly import VoxelFacts
from ..paired_images import ArrayImages, ImageLayout
from .benchmark import LayoutBenchmark, chosen_trials, is_list
from .manifest import FileEntry
from .nsd_design import image_name
from .recording import Recording, trials_of

logger = logging.getLogger(__name__)

IMAGE, SESSION, ROW = 0, 2, 5
"""Columns of ``behav``: image among the 73,000, session from 1, row of the betas."""

TEST_SETS = {"shared1000": "test_trials", "shared982": "old_test_trials"}


class NsdMindEye2(LayoutBenchmark):
    """NSD, nsdgeneral, as ``pscotti/mindeyev2`` holds it; Scotti et al. 2024."""

    layout: ClassVar[str] = "nsd-mindeye2"
    images_of: ClassVar[str] = "nsd"
    default_test: ClassVar[str] = "shared1000"

    def read(self, root: Path, subject: str) -> Recording:
        """The trials that the training archives and those of the chosen test set name."""
        manifest = self.manifest()
        test = self.params.test or self.default_test
        archives = self.default_test if is_list(test) else test
        if archives not in TEST_SETS:
            raise ConfigError(suggest(archives, TEST_SETS, what="test set"))
        parts = [
            read_trials(manifest.entry(name), root, subject)
            for name in ("training_trials", TEST_SETS[archives])
        ]
        entry = manifest.entry("betas")
        betas = open_array(entry.file(root, subject=subject), entry.key)
        behav = np.concatenate(parts)
        rows = behav[:, ROW]
        if len(np.unique(rows)) < len(rows):
            raise DataError(f"{subject}: two records of trials name one row of {betas.what}")
        if rows.max() >= betas.shape[0]:
            raise DataError(
                f"{subject}: a record names row {rows.max()} of {betas.what}, which has {betas.shape[0]}"
            )
        entry = manifest.entry("stimuli")
        pictures = open_array(entry.file(root), entry.key)
        images = ArrayImages(pictures, ImageLayout("nchw"), scale=Scale(), resize=self.params.resize())
        shown, session = np.zeros(betas.shape[0], np.int64), np.ones(betas.shape[0], np.int64)
        shown[rows], session[rows] = behav[:, IMAGE], behav[:, SESSION]
        names = [image_name(k) for k in range(len(images))]
        everything = trials_of(betas, images, names, shown, session=session)
        recorded = np.zeros(betas.shape[0], bool)
        recorded[rows] = True
        return Recording(
            chosen_trials(everything, recorded),
            VoxelFacts(rois=self._regions(root, subject, betas.shape[1])),
            "zscore",
            {archives: tuple(dict.fromkeys(names[k] for k in parts[1][:, IMAGE]))},
            mask="nsdgeneral",
            normalised=True,
        )

    def _regions(self, root: Path, subject: str, n_voxels: int) -> dict[str, np.ndarray]:
        rois = {}
        for _, path in self.manifest().entry("regions").find(root):
            for info in describe(path):
                of, _, name = info.name.rpartition("/")
                if of != subject or name == "nsd_general":
                    continue
                if info.shape != (n_voxels,):
                    logger.warning(
                        "%s: '%s' is not of the betas' %d voxels; left out", path, info.name, n_voxels
                    )
                    continue
                rois[name] = open_array(path, info.name).read() > 0
        return rois


def read_trials(entry: FileEntry, root: Path, subject: str) -> np.ndarray:
    """(T, 17) whole numbers: a record of each trial, in the order of the archives."""
    files = entry.find(root, subject=subject)
    if not files:
        raise DataError(entry.absent(root, subject=subject))
    records = []
    for _, path in files:
        for key, sample in samples(path):
            if "behav.npy" not in sample:
                raise DataError(
                    f"{path}: sample {key} has no behav.npy; it holds {', '.join(sorted(sample))}"
                )
            record = array_of(sample["behav.npy"], what=f"{key}.behav.npy of {path}").ravel()
            if len(record) != 17 or (record[[IMAGE, SESSION, ROW]] < 0).any():
                raise DataError(
                    f"{path}: the record of sample {key} is not of 17 columns with image, session and row"
                )
            records.append(record.astype(np.int64))
    if not records:
        raise DataError(f"{files[0][1]} holds no trial")
    return np.stack(records)
