"""From two splits of trials to a subject's data: one set of rules for every way in which data come.

Voxels are judged, and responses normalised, with training trials only; a value that is not finite in either
split masks its voxel; masked voxels are held at 0.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from harness.api import CeilingSource, DataError, Scaling, Split, Stimuli, SubjectData, VoxelSpace, units
from harness.api import Responses as Trials
from harness.reading.pixels import Scale, checked_hashes

from .paired_images import ChosenImages, require_same_kind
from .paired_responses import Moments, ResponseRows, estimate_ncsnr, measure
from .paired_trials import SplitTrials

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VoxelFacts:
    """What is known of the V voxels besides their responses.

    rois, groups : name -> (V,) bool.  coordinates : (V, 3) or (V, 2).
    ncsnr : (V,), NaN where unknown, with where it is from; None to estimate it from the repeats.
    identity : bytes that tell these voxels, in this order, from others; coordinates count as well.
    vertices, template : as of :class:`harness.api.VoxelSpace`.
    """

    rois: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    ncsnr: np.ndarray | None = None
    ncsnr_source: CeilingSource | None = None
    coordinates: np.ndarray | None = None
    identity: bytes = b""
    vertices: np.ndarray | None = None
    template: str = ""


@dataclass(frozen=True)
class Assembly:
    """How a subject's trials become responses.

    units : of the numbers as they are read; normalise : ``none``, ``zscore``, ``zscore_session``, or units to
    which they are brought (:mod:`harness.units`).
    exclude : reasons to mask voxels, ``nan`` and ``constant``.  allow_overlap : let test images be training
    images; shared_ids : under the same id too, as where trials are divided in place of images.
    scale : how the images' numbers become pixels.
    test_scale : for test trials of sessions of their own, without a training trial.  ``training``: the mean
    of the training sessions' means and of their variances; ``own``: their own mean and spread, as published
    evaluations do, which lets the test set tell of itself (flagged).
    """

    dataset: str
    subject: str
    mask: str
    units: str
    normalise: str = "none"
    exclude: tuple[str, ...] = ()
    allow_overlap: bool = False
    shared_ids: bool = False
    scale: Scale = field(default_factory=Scale)
    test_scale: str = ""

    def subject_data(
        self,
        train: SplitTrials,
        test: SplitTrials,
        facts: VoxelFacts,
        *,
        scaled_by: SplitTrials | None = None,
    ) -> SubjectData:
        """Check and normalise; every problem is a :class:`DataError`.

        scaled_by : the trials that judge voxels and set means and spreads, where these are more than those of
            `train`: all that are no test trials.
        """
        parts = [part.merged(self._hashes(part)) for part in (train, test)]
        (train, _), (test, _) = parts
        if not self.shared_ids:
            _require_disjoint(train, test)
        if train.table.shape[1] != test.table.shape[1]:
            raise DataError(
                f"{train.table.what} has {train.table.shape[1]} voxels and {test.table.what} "
                f"{test.table.shape[1]}; both splits need the same voxels"
            )
        scale = self._factor()
        moments, groups = self._moments(scaled_by or train, train, test)
        ncsnr, source = facts.ncsnr, facts.ncsnr_source
        valid = self._valid(moments, test, ncsnr)
        rows = [
            ResponseRows(
                part.table,
                part.trials,
                valid=valid,
                moments=moments if groups else None,
                groups=g,
                factor=scale,
            )
            for part, g in zip((train, test), groups or (None, None))
        ]
        if ncsnr is None:
            ncsnr, source = estimate_ncsnr([(d, p.image_index) for p, d in zip((train, test), rows)])
        else:
            ncsnr = np.where(valid, ncsnr, 0)
        space = self._space(facts, valid, ncsnr, source, self._scaling(moments) if groups else None)
        splits = [_split(*part, space, data) for part, data in zip(parts, rows)]
        require_same_kind(splits[0].stimuli, splits[1].stimuli, door=self.scale.door)
        self._require_new_images(splits[0].stimuli, splits[1].stimuli)
        return SubjectData(space, splits[0], splits[1])

    def _moments(
        self, scaled_by: SplitTrials, train: SplitTrials, test: SplitTrials
    ) -> tuple[Moments, tuple[np.ndarray, np.ndarray] | None]:
        """Statistics of the trials `scaled_by` and, if they normalise, the group of every trial."""
        if self.test_scale:
            return self._moments_apart(scaled_by, train, test)
        if self.normalise != "zscore_session":
            groups = tuple(np.zeros(len(part.trials), np.int64) for part in (train, test))
            moments = measure(scaled_by.table, scaled_by.trials, np.zeros(len(scaled_by.trials), np.int64))
            return moments, groups if self.normalise in units.ZSCORES else None
        for name, part in (("train", train), ("test", test)):
            if part.session is None:
                raise DataError(
                    f"normalise: zscore_session needs the session of each trial of {name}; add session: KEY, "
                    "or normalise: zscore"
                )
        sessions, counts = np.unique(scaled_by.session, return_counts=True)
        few = sorted(set(test.session.tolist()) - set(sessions[counts >= 2].tolist()))
        few += [s for s in sessions[counts < 2].tolist() if s not in few]
        if few:
            raise DataError(
                f"session {few[0]} has fewer than 2 training trials ({len(few)} such sessions), and only "
                "training trials may set its mean and spread; leave its trials out, or type normalise: zscore"
            )
        return measure(scaled_by.table, scaled_by.trials, scaled_by.session), (train.session, test.session)

    def _moments_apart(
        self, scaled_by: SplitTrials, train: SplitTrials, test: SplitTrials
    ) -> tuple[Moments, tuple[np.ndarray, np.ndarray] | None]:
        """As :meth:`_moments`, for test trials of sessions without training trials: a group of their own."""
        moments, groups = replace(self, test_scale="")._moments(scaled_by, train, train)
        if groups is None:
            return moments, None
        if self.test_scale == "own":
            logger.warning(
                "the %d test trials are z-scored by their own means and spreads",
                len(test.trials),
                extra={"flag": "test-scales-itself"},
            )
            of_test = measure(test.table, test.trials, np.zeros(len(test.trials), np.int64))
        else:
            of_test = moments.pooled()
        moments = moments.with_group(of_test)
        return moments, (groups[0], np.full(len(test.trials), moments.groups[-1]))

    def _factor(self) -> float:
        """By what numbers are multiplied as they are read."""
        if self.normalise not in units.PERCENT:
            return 1.0
        scale = units.factor(self.units, self.normalise)
        if scale is None:
            raise DataError(
                f"the responses are in units '{self.units}', of which nothing says how large one percent is; "
                f"leave out normalise: {self.normalise}"
            )
        return scale

    def _scaling(self, moments: Moments) -> Scaling:
        """What leads back from z-scores; the group of test trials measured apart takes no part."""
        trained = moments.first(len(moments.groups) - 1) if self.test_scale else moments
        usual = trained.pooled()
        return Scaling(self.units, usual.mean[0], usual.sd[0])

    def _valid(self, moments: Moments, test: SplitTrials, ncsnr: np.ndarray | None) -> np.ndarray:
        """(V,) voxels to use; those that may not be excluded are errors."""
        of_test = measure(test.table, test.trials, np.zeros(len(test.trials), np.int64))
        finite = moments.finite & of_test.finite
        unknown = np.zeros(len(finite), bool) if ncsnr is None else ~np.isfinite(ncsnr) & finite
        constant = moments.constant & finite
        within = " within a session" if self.normalise == "zscore_session" else ""
        for reason, bad, words in (
            ("nan", ~finite, "hold NaN or inf"),
            ("nan", unknown, "have a noise ceiling that is NaN or inf"),
            ("constant", constant, f"are constant over the training trials{within}"),
        ):
            count = int(bad.sum())
            if not count:
                continue
            first = ", ".join(map(str, np.flatnonzero(bad)[:5]))
            message = f"{count} of {len(bad)} voxels {words} (first, from 0: {first})"
            if reason not in self.exclude:
                if count == len(bad):  # to mask them would leave none
                    raise DataError(f"{message}; none is left to use")
                others = [*self.exclude, reason]
                raise DataError(f"{message}; to mask them add exclude: [{', '.join(others)}]")
            logger.info("%s; they are masked", message)
        valid = finite & ~unknown & ~constant
        # A few test trials may be equal by chance; where they are not to be masked, the run flags them.
        if "constant" in self.exclude and len(test.trials) > 2:
            still = valid & of_test.constant
            if still.any():
                logger.info("%d voxels are constant over the test trials; they are masked", still.sum())
            valid &= ~still
        if not valid.any():
            raise DataError(f"all {len(valid)} voxels hold NaN or inf, or are constant; none is left to use")
        return valid

    def _space(
        self,
        facts: VoxelFacts,
        valid: np.ndarray,
        ncsnr: np.ndarray | None,
        source: CeilingSource | None,
        scaling: Scaling | None,
    ) -> VoxelSpace:
        n_voxels = len(valid)
        identity = hashlib.sha256(f"{self.dataset}|{self.subject}|{self.mask}|{n_voxels}".encode())
        identity.update(facts.identity)
        if facts.coordinates is not None:
            identity.update(np.ascontiguousarray(facts.coordinates, "<f8").tobytes())
        return VoxelSpace(
            self.dataset,
            self.subject,
            self.mask,
            n_voxels,
            self.units if self.normalise == "none" else self.normalise,
            identity.hexdigest(),
            rois=facts.rois,
            groups=facts.groups,
            ncsnr=ncsnr,
            coordinates=facts.coordinates,
            valid=valid,
            ncsnr_source=source,
            vertices=facts.vertices,
            template=facts.template,
            scaling=scaling,
        )

    def _hashes(self, part: SplitTrials) -> tuple[str, ...]:
        images = ChosenImages(part.images, part.positions)
        return checked_hashes(part.ids, images.read, what=part.images.what, scale=self.scale)

    def _require_new_images(self, train: Stimuli, test: Stimuli) -> None:
        training = dict(zip(train.image_hashes(), train.ids))
        same = [(name, training[sha]) for name, sha in zip(test.ids, test.image_hashes()) if sha in training]
        if not same:
            return
        message = (
            f"{len(same)} test images are also training images (for example {same[0][0]} = {same[0][1]})"
        )
        if not self.allow_overlap:
            raise DataError(f"{message}; remove them from one split, or add allow_overlap: true")
        logger.warning("%s", message)


def _split(part: SplitTrials, hashes: tuple[str, ...], space: VoxelSpace, rows: ResponseRows) -> Split:
    images = ChosenImages(part.images, part.positions)
    stimuli = Stimuli(part.ids, images.read, captions=part.captions, labels=part.labels, hashes=hashes)
    return Split(stimuli, Trials(space, part.ids, rows, part.image_index, session=part.session))


def _require_disjoint(train: SplitTrials, test: SplitTrials) -> None:
    shared = sorted(set(train.ids) & set(test.ids))
    if shared:
        raise DataError(
            f"{len(shared)} image ids are in both train and test (for example '{shared[0]}'); "
            "an image may be in one split only"
        )
