"""One micro-batch through a fitted encoder: what makes an artifact of the stage encode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..api import Features
from ..data import Stimuli, VoxelSpace
from ..errors import PluginError
from ..plugins import PluginRef
from ..storage.content import save_array
from ..storage.worker import kept_open
from .guard import guarded
from .model import Model


def predict_batch(
    folder: Path,
    model: Model,
    space: VoxelSpace,
    stimuli: Stimuli,
    features: Features,
    seeds: np.ndarray,
) -> None:
    """Write (n, S, V) predictions for `stimuli`, of which sample s is drawn with ``seeds[:, s]``."""
    # Of a fit without an identity the parameters alone tell two ways to predict apart.
    name = ("encoder", model.key or repr(model.params), model.folder, space.sha)
    encoder = kept_open(name, lambda: guarded(model.ref, "cannot be loaded", lambda: model.load(space)))
    predicted = guarded(
        model.ref,
        "fails while predicting",
        lambda: encoder.predict(stimuli, features, space=space, seeds=seeds),
    )
    save_array(folder, "responses", checked(predicted, model.ref, seeds.shape[1], space, stimuli.ids))


def checked(
    predicted: object, ref: PluginRef, samples: int, space: VoxelSpace, ids: Sequence[str]
) -> np.ndarray:
    """`predicted` for the images `ids` as (N, S, V) float32, finite in valid voxels and 0 in masked ones."""
    predicted = np.asarray(predicted)
    expected = (len(ids), samples, space.n_voxels)
    if predicted.shape != expected:
        raise PluginError(
            f"encoder '{ref.name}' predicted an array of shape {predicted.shape}; expected {expected} "
            f"(images, samples, voxels) for {space.subject}"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        predicted = np.where(space.valid, predicted, 0).astype(np.float32)
    finite = np.isfinite(predicted)
    if not finite.all():
        image, sample, voxel = np.argwhere(~finite)[0]
        raise PluginError(
            f"encoder '{ref.name}' predicted NaN or infinity (in float32) for {space.subject}: "
            f"{np.count_nonzero(~finite):,} of {finite.size:,} values, first in voxel {voxel} of image "
            f"'{ids[image]}', sample {sample}, from 0; predict a number for every voxel that is used"
        )
    return predicted
