"""Benchmark ``paired``: a user's own images and the responses measured to them.

The files, keys and layouts are named in a short YAML (:class:`Params`).  Everything that would make
a score wrong without saying so (ids doubled or missing, an image in both splits, NaN, constant
voxels, lengths that differ) is an error of one line before anything is computed.
"""

from __future__ import annotations

import hashlib
import logging

import numpy as np

from harness.api import CeilingSource, DataError, Responses, Split, Stimuli, SubjectData, VoxelSpace, suggest
from harness.reading.arrays import as_names, as_vector
from harness.reading.ids import match_ids, require_ids
from harness.reading.pixels import checked_hashes

from .paired_images import ChosenImages, require_same_kind
from .paired_params import Params
from .paired_responses import Moments, ResponseRows, estimate_ncsnr, finite_voxels, measure
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
        parts = [part.merged(self._hashes(part)) for part in (train, test)]
        (train, _), (test, _) = parts
        _require_disjoint(train, test)
        if train.table.shape[1] != test.table.shape[1]:
            raise DataError(
                f"{train.table.what} has {train.table.shape[1]} voxels and {test.table.what} "
                f"{test.table.shape[1]}; both splits need the same voxels"
            )
        moments, groups = self._moments(train, test)
        ncsnr, source = read_ncsnr(self.params, files.open, train.table.shape[1])
        valid = self._valid(moments, test, ncsnr)
        rows = [
            ResponseRows(part.table, part.trials, valid=valid, moments=moments if groups else None, groups=g)
            for part, g in zip((train, test), groups or (None, None))
        ]
        if ncsnr is None:
            ncsnr, source = estimate_ncsnr([(d, p.image_index) for p, d in zip((train, test), rows)])
        else:
            ncsnr = np.where(valid, ncsnr, 0)
        space = self._space(files, valid, ncsnr, source)
        splits = [self._split(*part, space, data) for part, data in zip(parts, rows)]
        require_same_kind(splits[0].stimuli, splits[1].stimuli)
        self._require_new_images(splits[0].stimuli, splits[1].stimuli)
        return SubjectData(space, splits[0], splits[1])

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

    def _moments(
        self, train: SplitTrials, test: SplitTrials
    ) -> tuple[Moments, tuple[np.ndarray, np.ndarray] | None]:
        """Statistics of the training trials and, if they normalise, the group of every trial."""
        if self.params.normalise != "zscore_session":
            groups = tuple(np.zeros(len(part.trials), np.int64) for part in (train, test))
            moments = measure(train.table, train.trials, groups[0])
            return moments, None if self.params.normalise == "none" else groups
        for name, part in (("train", train), ("test", test)):
            if part.session is None:
                raise DataError(
                    f"normalise: zscore_session needs the session of each trial of {name}; add session: KEY, "
                    "or normalise: zscore"
                )
        sessions, counts = np.unique(train.session, return_counts=True)
        few = sorted(set(test.session.tolist()) - set(sessions[counts >= 2].tolist()))
        few += [s for s in sessions[counts < 2].tolist() if s not in few]
        if few:
            raise DataError(
                f"session {few[0]} has fewer than 2 training trials ({len(few)} such sessions), and only "
                "training trials may set its mean and spread; leave its trials out, or type normalise: zscore"
            )
        return measure(train.table, train.trials, train.session), (train.session, test.session)

    def _valid(self, moments: Moments, test: SplitTrials, ncsnr: np.ndarray | None) -> np.ndarray:
        """(V,) voxels to use; those that may not be excluded are errors."""
        finite = moments.finite & finite_voxels(test.table, test.trials)
        unknown = np.zeros(len(finite), bool) if ncsnr is None else ~np.isfinite(ncsnr) & finite
        constant = moments.constant & finite
        within = " within a session" if self.params.normalise == "zscore_session" else ""
        for reason, bad, words in (
            ("nan", ~finite, "hold NaN or inf"),
            ("nan", unknown, "have a noise ceiling that is NaN or inf"),
            ("constant", constant, f"are constant over the training trials{within}"),
        ):
            count = int(bad.sum())
            if not count:
                continue
            first = ", ".join(map(str, np.flatnonzero(bad)[:5]))
            problem = f"{count} of {len(bad)} voxels {words} (first, from 0: {first})"
            if reason not in self.params.exclude:
                if count == len(bad):  # to mask them would leave none
                    raise DataError(f"{problem}; none is left to use")
                others = [*self.params.exclude, reason]
                raise DataError(f"{problem}; to mask them add exclude: [{', '.join(others)}]")
            logger.info("%s; they are masked", problem)
        valid = finite & ~unknown & ~constant
        if not valid.any():
            raise DataError(f"all {len(valid)} voxels hold NaN or inf, or are constant; none is left to use")
        return valid

    def _space(
        self,
        files: SubjectFiles,
        valid: np.ndarray,
        ncsnr: np.ndarray | None,
        source: CeilingSource | None,
    ) -> VoxelSpace:
        params, n_voxels = self.params, len(valid)
        rois, groups = read_regions(params, files.open, n_voxels=n_voxels)
        coordinates = None
        if params.coordinates:
            source = files.open(params.coordinates)
            coordinates = read_voxel_values(source, n_voxels, columns=(2, 3))
        identity = hashlib.sha256(f"{files.dataset}|{files.subject}|{params.mask}|{n_voxels}".encode())
        if coordinates is not None:
            identity.update(np.ascontiguousarray(coordinates, "<f8").tobytes())
        return VoxelSpace(
            files.dataset,
            files.subject,
            params.mask,
            n_voxels,
            params.units if params.normalise == "none" else params.normalise,
            identity.hexdigest(),
            rois=rois,
            groups=groups,
            ncsnr=ncsnr,
            coordinates=coordinates,
            valid=valid,
            ncsnr_source=source,
        )

    def _hashes(self, part: SplitTrials) -> tuple[str, ...]:
        images = ChosenImages(part.images, part.positions)
        return checked_hashes(part.ids, images.read, what=part.images.what, scale=self.params.scale())

    def _split(
        self, part: SplitTrials, hashes: tuple[str, ...], space: VoxelSpace, rows: ResponseRows
    ) -> Split:
        images = ChosenImages(part.images, part.positions)
        stimuli = Stimuli(part.ids, images.read, captions=part.captions, labels=part.labels, hashes=hashes)
        return Split(stimuli, Responses(space, part.ids, rows, part.image_index, session=part.session))

    def _require_new_images(self, train: Stimuli, test: Stimuli) -> None:
        known = dict(zip(train.image_hashes(), train.ids))
        same = [(name, known[sha]) for name, sha in zip(test.ids, test.image_hashes()) if sha in known]
        if not same:
            return
        shared = f"{len(same)} test images are also training images (for example {same[0][0]} = {same[0][1]})"
        if not self.params.allow_overlap:
            raise DataError(f"{shared}; remove them from one split, or add allow_overlap: true")
        logger.warning("%s", shared)


def _require_disjoint(train: SplitTrials, test: SplitTrials) -> None:
    shared = sorted(set(train.ids) & set(test.ids))
    if shared:
        raise DataError(
            f"{len(shared)} image ids are in both train and test (for example '{shared[0]}'); "
            "an image may be in one split only"
        )
