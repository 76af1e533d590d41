"""What every training needs of its data: standardised responses, images to stop by, and an identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.api import DataError, SubjectData
from harness.nn.constancy import is_constant, spread

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 256
"""Images standardised at a time where statistics are gathered."""


def moments(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD over all axes but the last, float32; a constant feature gets SD 1."""
    count, total, squares = 0, 0.0, 0.0
    shift = np.asarray(arrays[0][:1], np.float64).reshape(-1, arrays[0].shape[-1]).mean(axis=0)
    for array in arrays:
        for start in range(0, len(array), BLOCK):
            rows = np.asarray(array[start : start + BLOCK], np.float64).reshape(-1, array.shape[-1]) - shift
            count, total = count + len(rows), total + rows.sum(axis=0)
            squares = squares + np.square(rows).sum(axis=0)
    sd = np.sqrt(np.maximum(squares / count - np.square(total / count), 0))
    mean = total / count + shift
    return mean.astype(np.float32), np.where(is_constant(sd, mean), 1, sd).astype(np.float32)


@dataclass(frozen=True, eq=False)
class VoxelScale:
    """Training mean and SD (V,) of every valid voxel; a constant voxel has SD 0."""

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, responses: np.ndarray) -> VoxelScale:
        """Statistics over the rows of (T, V)."""
        mean, sd = spread(responses)
        sd = np.where(is_constant(sd, mean), 0, sd)
        return cls(mean.astype(np.float32), sd.astype(np.float32))

    def standardised(self, responses: np.ndarray) -> Tensor:
        """(T, V) float32; constant voxels become 0."""
        import torch

        return torch.from_numpy((responses - self.mean) / np.where(self.sd > 0, self.sd, 1))

    def restored(self, standardised: np.ndarray) -> np.ndarray:
        """(..., V) in the units of the space; constant voxels get their mean."""
        return standardised * self.sd + self.mean


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """One subject's items: trials, or the mean responses of its images.

    image : (T,) position of each item's image among the training stimuli; voxels : (T, V) standardised.
    held_out : (T,) bool, items of validation images.
    """

    image: np.ndarray
    voxels: Tensor
    scale: VoxelScale
    held_out: np.ndarray

    @property
    def train(self) -> np.ndarray:
        """Items to learn from."""
        return np.flatnonzero(~self.held_out)

    @property
    def validation(self) -> np.ndarray:
        """Items to stop by."""
        return np.flatnonzero(self.held_out)


def training_set(
    subject: SubjectData, *, train_on: Literal["trials", "means"], held_out: set[str]
) -> TrainingSet:
    """Items of the training split of `subject`; images whose hash is in `held_out` validate.

    Statistics are those of all training items, held-out ones included: they are training data.
    """
    space, responses = subject.space, subject.train.responses
    if not space.n_valid:
        raise DataError(f"every voxel of {space.subject} is masked; there is nothing to predict")
    if train_on == "means":
        values, image = responses.mean(), np.arange(len(responses.ids))
    else:
        values, image = responses.trials(), responses.image_index
    values = values[:, space.valid]
    scale = VoxelScale.of(values)
    hashes = subject.train.stimuli.image_hashes()
    out = np.array([sha in held_out for sha in hashes])[image]
    if not (out.any() and (~out).sum() > 1):
        raise DataError(
            f"{space.subject} has {len(hashes)} training images, too few to hold some out for validation; "
            "give more images, or use --encoder ridge"
        )
    return TrainingSet(image, scale.standardised(values), scale, out)


def validation_images(subjects: Sequence[SubjectData], share: float, *, seed: int) -> set[str]:
    """Hashes of the training images to hold out, the same image for every subject that saw it.

    The `share` of each subject's distinct images whose seeded hashes come first.
    """
    chosen: set[str] = set()
    for subject in subjects:
        hashes = sorted(set(subject.train.stimuli.image_hashes()), key=lambda sha: _order(sha, seed))
        chosen |= set(hashes[: max(1, round(share * len(hashes)))])
    return chosen


def _order(sha: str, seed: int) -> bytes:
    return hashlib.sha256(f"validation|{seed}|{sha}".encode()).digest()


def fingerprint(params: Any, subjects: Sequence[SubjectData], **more: Any) -> str:
    """Identity of a training, for its checkpoints."""
    data = [(s.space.sha, s.train.responses.sha, s.train.stimuli.sha) for s in subjects]
    return hashlib.sha256(json.dumps([asdict(params), data, more], sort_keys=True).encode()).hexdigest()
