"""What every benchmark's data must satisfy before anything is computed from them."""

from __future__ import annotations

import logging

import numpy as np

from ..data import Responses, Split, Stimuli, SubjectData
from ..errors import DataError
from ..nn.constancy import is_constant

logger = logging.getLogger(__name__)


def check_subject(data: SubjectData) -> None:
    """Raise :class:`DataError` for anything that would make a score wrong without saying so."""
    if data.test is None or not len(data.test):
        raise DataError(f"{data.subject} has no test images")
    if not data.measured:
        check_overlap(data.train, data.test)
        return
    if not len(data.train):
        raise DataError(f"{data.subject} has no training images")
    if not data.space.n_valid:
        raise DataError(f"all {data.space.n_voxels} voxels of {data.subject} are masked")
    for name, split in (("train", data.train), ("test", data.test)):
        data.space.require(split.responses.space, what=f"{name} responses of {data.subject}")
        check_images(split.stimuli, what=f"{name} images of {data.subject}")
        check_responses(split.responses, what=f"{name} responses of {data.subject}")
    check_constant(data.train.responses, what=f"training responses of {data.subject}")
    warn_of_constant(data.test.responses, what=f"test responses of {data.subject}")
    check_overlap(data.train, data.test)
    for name, extra in (("truth", data.truth), ("remeasured responses", data.remeasured)):
        if extra is not None:
            data.space.require(extra.space, what=f"{name} of {data.subject}")
            if extra.ids != data.test.stimuli.ids:
                raise DataError(f"{name} of {data.subject} must have the ids of the test images")


def check_images(stimuli: Stimuli, *, what: str) -> None:
    """(H, W, 3), uint8, or float in [0, 1]; looks at the first image only, the rest is lazy."""
    first = stimuli.images(stimuli.ids[:1])
    if first.ndim != 4 or first.shape[-1] != 3:
        raise DataError(f"{what} have shape {first.shape[1:]} each; expected (height, width, 3)")
    if first.dtype == np.uint8:
        return
    if not np.issubdtype(first.dtype, np.floating):
        raise DataError(f"{what} are {first.dtype}; expected uint8, or float in [0, 1]")
    if not np.isfinite(first).all() or first.min() < 0 or first.max() > 1:
        raise DataError(f"{what} are float outside [0, 1] (from {first.min():.3g} to {first.max():.3g})")


def check_responses(responses: Responses, *, what: str) -> None:
    """Finite in every valid voxel."""
    valid = responses.space.valid
    zeros: list[int] = []
    for start in range(0, responses.n_trials, 1024):
        block = np.asarray(responses.data[start : start + 1024])
        zeros += (start + np.flatnonzero((block[:, valid] == 0).all(axis=1))).tolist()
        bad = ~np.isfinite(block) & valid
        if bad.any():
            voxels = np.flatnonzero(bad.any(axis=0))
            raise DataError(
                f"{what}: {len(voxels)} voxels hold NaN or inf (first: {', '.join(map(str, voxels[:5]))}); "
                "mask them in the benchmark's `valid`"
            )
    if zeros and responses.space.n_valid > 1:
        logger.warning(
            "%s: %d of %d trials are 0 in every voxel (first, from 0: %s): were they measured?",
            what,
            len(zeros),
            responses.n_trials,
            ", ".join(map(str, zeros[:5])),
            extra={"flag": "zero-trials"},
        )


def check_constant(responses: Responses, *, what: str) -> None:
    """No valid voxel is constant over all trials, by more than rounding."""
    voxels = constant_voxels(responses)
    if len(voxels):
        raise DataError(
            f"{what}: {len(voxels)} voxels are constant (first: {', '.join(map(str, voxels[:5]))}); "
            "mask them in the benchmark's `valid`"
        )


def warn_of_constant(responses: Responses, *, what: str) -> None:
    """Say which voxels never change over the test trials: no fit fails of them, and decoders read them."""
    voxels = constant_voxels(responses)
    if len(voxels) and responses.n_trials > 2:
        logger.warning(
            "%s: %d of %d voxels are constant over all %d trials (first: %s): were they measured? To mask "
            "them add exclude: [constant], or leave them out of the benchmark's `valid`",
            what,
            len(voxels),
            responses.space.n_valid,
            responses.n_trials,
            ", ".join(map(str, voxels[:5])),
            extra={"flag": "constant-test-voxels"},
        )


def constant_voxels(responses: Responses) -> np.ndarray:
    """Valid voxels that are constant over all trials but for rounding; none of fewer than two trials."""
    if responses.n_trials < 2:
        return np.zeros(0, int)
    return np.flatnonzero(is_constant(*responses.spread()[::-1]) & responses.space.valid)


def check_overlap(train: Split, test: Split) -> None:
    """No test image, by id or by content, among the training images."""
    ids = set(train.stimuli.ids) & set(test.stimuli.ids)
    if ids:
        raise DataError(f"{len(ids)} image ids are in both train and test (for example '{min(ids)}')")


def overlapping_images(train: Stimuli, test: Stimuli) -> list[str]:
    """Ids of test images whose content is among the training images."""
    train_hashes = set(train.image_hashes())
    return [name for name, sha in zip(test.ids, test.image_hashes()) if sha in train_hashes]
