"""One micro-batch through a fitted encoder: what makes an artifact of the stage encode."""

from __future__ import annotations

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
    save_array(folder, "responses", checked(predicted, model.ref, seeds.shape, space))


def checked(predicted: object, ref: PluginRef, leading: tuple[int, int], space: VoxelSpace) -> np.ndarray:
    """`predicted` as (N, S, V) float32, finite in valid voxels and 0 in masked ones."""
    predicted = np.asarray(predicted)
    expected = (*leading, space.n_voxels)
    if predicted.shape != expected:
        raise PluginError(
            f"encoder '{ref.name}' predicted an array of shape {predicted.shape}; expected {expected} "
            f"(images, samples, voxels) for {space.subject}"
        )
    predicted = np.where(space.valid, predicted, 0).astype(np.float32)
    if not np.isfinite(predicted).all():
        raise PluginError(f"encoder '{ref.name}' predicted NaN or infinity for {space.subject}")
    return predicted
