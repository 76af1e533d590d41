"""Benchmark ``paired``: a user's own images and the responses measured to them.

The files, keys and layouts are named in a short YAML (:class:`Params`).  Everything that would make
a score wrong without saying so (ids doubled or missing, an image in both splits, NaN, constant
voxels, lengths that differ) is an error of one line before anything is computed.
"""

from __future__ import annotations

import logging

import numpy as np

from harness.api import DataError, SubjectData, suggest
from harness.reading.arrays import as_names, as_vector
from harness.reading.ids import match_ids, require_ids

from .assembly import Assembly, VoxelFacts
from .paired_params import Params
from .paired_trials import SplitTrials, SubjectFiles, absent_ids, lost_images
from .paired_voxels import read_ncsnr, read_regions, read_voxel_values

logger = logging.getLogger(__name__)


class Paired:
    """Measured responses paired with images, from the user's files.

    Masked voxels are held at 0.  Voxels are judged, and responses normalised, with training trials
    only; a value that is not finite in either split masks its voxel.
    """

    version = "1"
    simulated = False
    generated = False
    Params = Params

    def __init__(self, params: Params) -> None:
        self.params = params

    @staticmethod
    def missing(params: Params, *, subject: str) -> list[str]:
        """A line for each file or folder of `subject` that `params` name and that is not there."""
        return SubjectFiles(params, subject).missing()

    def subjects(self) -> tuple[str, ...]:
        """The subjects' names."""
        return tuple(self.params.subjects) or ("subj01",)

    def training_sets(self) -> tuple[str, ...]:
        """Names of the sets that the training images are of, as the user gave them."""
        return tuple(self.params.training_sets)

    def test_sets(self) -> tuple[str, ...]:
        """Names of the sets that the test images are of, as the user gave them."""
        return tuple(self.params.test_sets)

    def load(self, subject: str) -> SubjectData:
        """Read, check and normalise one subject's data; every problem is a :class:`DataError`."""
        if subject not in self.subjects():
            raise DataError(suggest(subject, self.subjects(), what="subject"))
        files = SubjectFiles(self.params, subject)
        train, test = self._splits(files)
        train = self._without_lost(train, test)
        n_voxels = train.table.shape[1]
        ncsnr, source = read_ncsnr(self.params, files.open, n_voxels)
        rois, groups = read_regions(self.params, files.open, n_voxels=n_voxels)
        coordinates = None
        if self.params.coordinates:
            coordinates = read_voxel_values(files.open(self.params.coordinates), n_voxels, columns=(2, 3))
        facts = VoxelFacts(rois, groups, ncsnr, source, coordinates)
        return self._assembly(files).subject_data(train, test, facts)

    def _assembly(self, files: SubjectFiles) -> Assembly:
        params = self.params
        return Assembly(
            files.dataset,
            files.subject,
            params.mask,
            params.units,
            params.normalise,
            tuple(params.exclude),
            allow_overlap=params.allow_overlap,
            scale=params.scale(),
        )

    def _without_lost(self, train: SplitTrials, test: SplitTrials) -> SplitTrials:
        """`train` without the images that have no file, where that is allowed."""
        if lost := test.lost():
            raise DataError(
                f"{lost_images(test, train, lost, split='test')}; a test image is never left out: put its "
                "file there, or take it out of the test set"
            )
        lost = train.lost()
        if not lost:
            return train
        allowed = self.params.allow_missing_images
        if not isinstance(allowed, bool):
            listed = set(match_ids(lost, [str(name) for name in allowed], what="allow_missing_images"))
        else:
            listed = set(lost) if allowed else set()
        refused = [name for name in lost if name not in listed]
        if refused or len(lost) == len(train.ids):
            message = lost_images(train, test, refused or lost, split="training")
            if len(lost) < len(train.ids):
                message += "; to leave them out, with their trials, add allow_missing_images: true"
            raise DataError(message)
        logger.warning(
            "%s; they and their trials are left out",
            lost_images(train, test, lost, split="training"),
            extra={"flag": "missing-training-images"},
        )
        return train.choose(np.flatnonzero(~np.isin(train.ids, lost)))

    def _splits(self, files: SubjectFiles) -> tuple[SplitTrials, SplitTrials]:
        params = self.params
        if params.data is None:
            return files.trials("train", params.train), files.trials("test", params.test)
        both = files.trials("data", params.data)
        if params.test_mask:
            mask = as_vector(files.open(params.test_mask))
            n_images = len(both.images)
            if len(mask) != n_images or not np.isin(mask, (0, 1)).all():
                raise DataError(
                    f"test_mask has {len(mask)} entries; expected 0 or 1 for each of {n_images} images"
                )
            is_test = mask[both.positions].astype(bool)
        else:
            given = params.test_ids
            names = as_names(files.open(given)) if isinstance(given, str) else given
            require_ids(names, what="test_ids")
            matches = match_ids(names, both.ids, what="the ids of data")
            absent = sorted(set(names) - set(matches))
            if absent:
                raise DataError(absent_ids(absent, both.ids, what="test_ids"))
            is_test = np.isin(both.ids, list(matches.values()))
        if is_test.all() or not is_test.any():
            raise DataError(
                f"{is_test.sum()} of {len(is_test)} images are test images; both splits need some"
            )
        return both.choose(np.flatnonzero(~is_test)), both.choose(np.flatnonzero(is_test))
