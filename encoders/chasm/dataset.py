"""Features and responses as the stages see them: standardised with training statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.api import ConfigError, DataError, Features, Stimuli, SubjectData
from harness.nn.constancy import is_constant, spread

from .params import ChasmParams

BLOCK = 256
"""Images standardised at a time where statistics are gathered."""


@dataclass(frozen=True, eq=False)
class VisualFeatures:
    """Raw features of N images: cls (N, D) and patches (N, P, D'), float32, perhaps memory maps."""

    cls: np.ndarray
    patches: np.ndarray

    @classmethod
    def read(cls, params: ChasmParams, features: Features, stimuli: Stimuli) -> VisualFeatures:
        """The two layers that `params` names; :class:`ConfigError` when their shapes do not fit."""
        arrays = []
        for layer, ndim, axes in (
            (params.cls_layer, 2, "(images, features)"),
            (params.patch_layer, 3, "(images, patches, features)"),
        ):
            values = features.layer(params.backbone, layer, stimuli)
            if values.ndim != ndim:
                raise ConfigError(
                    f"encoder chasm: layer '{layer}' of backbone '{params.backbone}' has shape "
                    f"{values.shape}; expected {axes}; choose others: "
                    "--set encoder.cls_layer=NAME --set encoder.patch_layer=NAME"
                )
            arrays.append(values)
        return cls(*arrays)


@dataclass(frozen=True, eq=False)
class FeatureScale:
    """Training mean and SD of every CLS feature and of every patch feature over all positions."""

    cls_mean: Tensor
    cls_sd: Tensor
    patch_mean: Tensor
    patch_sd: Tensor

    @classmethod
    def of(cls, sets: Sequence[VisualFeatures]) -> FeatureScale:
        """Statistics over all images of all `sets`, accumulated in float64."""
        cls_mean, cls_sd = _moments([each.cls for each in sets])
        patch_mean, patch_sd = _moments([each.patches for each in sets])
        return cls(*(torch.from_numpy(v) for v in (cls_mean, cls_sd, patch_mean, patch_sd)))

    def __call__(self, visual: VisualFeatures, images: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
        """Standardised cls (n, D) and patches (n, P, D') of some images, on `device`."""
        cls, patches = (
            torch.from_numpy(np.asarray(v[images], np.float32)).to(device)
            for v in (visual.cls, visual.patches)
        )
        moments = [v.to(device) for v in (self.cls_mean, self.cls_sd, self.patch_mean, self.patch_sd)]
        return (cls - moments[0]) / moments[1], (patches - moments[2]) / moments[3]


def _moments(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
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
        return torch.from_numpy((responses - self.mean) / np.where(self.sd > 0, self.sd, 1))

    def restored(self, standardised: np.ndarray) -> np.ndarray:
        """(..., V) in the units of the space; constant voxels get their mean."""
        return standardised * self.sd + self.mean


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """One subject's items: trials, or the mean responses of its images.

    image : (T,) position of each item's image in `visual`; voxels : (T, V) standardised.
    held_out : (T,) bool, items of validation images.
    """

    visual: VisualFeatures
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
    subject: SubjectData, visual: VisualFeatures, params: ChasmParams, *, held_out: set[str]
) -> TrainingSet:
    """Items of the training split of `subject`; images whose hash is in `held_out` validate.

    Statistics are those of all training items, held-out ones included: they are training data.
    """
    space, responses = subject.space, subject.train.responses
    if not space.n_valid:
        raise DataError(f"every voxel of {space.subject} is masked; there is nothing to predict")
    if params.train_on == "means":
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
    return TrainingSet(visual, image, scale.standardised(values), scale, out)


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
