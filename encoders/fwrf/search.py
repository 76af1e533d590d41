"""The search: for every voxel the pooling field, the penalty and the weights of least hold-out error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from harness.api import DataError, track

from .fields import pooling_fields

FIELDS_AT_ONCE = 64
SOFTENED = 1e-6
"""Added to the SD of pooled features."""


@dataclass(frozen=True, eq=False)
class FittedFields:
    """What was chosen for V voxels, on K feature maps in all.

    model (V, 3) : x, y, sigma.  penalty (V,) : place in the grid.  loss (V,) : hold-out squared error.
    weights (V, K), bias (V,) ; feature_mean, feature_sd (V, K) : of the pooled features of the chosen field.
    """

    model: np.ndarray
    penalty: np.ndarray
    loss: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    feature_mean: np.ndarray
    feature_sd: np.ndarray

    def save(self, file: Path) -> None:
        """Write a ``.safetensors`` file."""
        from safetensors.numpy import save_file

        save_file({f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}, file)

    @classmethod
    def load(cls, file: Path) -> FittedFields:
        """Read what :meth:`save` wrote; a damaged file is a :class:`DataError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return cls(**load_file(file))
        except (OSError, SafetensorError, TypeError) as problem:
            raise DataError(f"{file} holds no fitted receptive fields ({problem}); fit it again") from None


def bent(x: np.ndarray) -> np.ndarray:
    """log(1 + |x|) tanh(x), element by element."""
    return np.log1p(np.abs(x)) * np.tanh(x)


def pooled(maps: Sequence[np.ndarray], models: np.ndarray, *, nonlinear: bool, aperture: float) -> np.ndarray:
    """(C, N, K) float32 features: the maps, each (N, k, side, side), seen through every candidate."""
    parts = []
    for layer in maps:
        weights = pooling_fields(models, layer.shape[-1], aperture=aperture).reshape(len(models), -1)
        flat = np.asarray(layer, np.float32).reshape(*layer.shape[:2], -1)
        parts.append(np.moveaxis(flat @ weights.T, -1, 0))
    features = np.concatenate(parts, axis=-1)
    return bent(features) if nonlinear else features


def search(
    maps: Sequence[np.ndarray],
    responses: np.ndarray,
    models: np.ndarray,
    *,
    penalties: Sequence[float],
    holdout: int,
    nonlinear: bool = False,
    aperture: float = 1.0,
    name: str = "receptive fields",
) -> FittedFields:
    """Ridge on the pooled features of every candidate, fitted on all but the last `holdout` rows.

    maps : of one layer each, (N, k, side, side).  responses : (N, V).
    The scale of features is taken over all rows, the bias column is penalised too, and the weights
    stay those of the part that was fitted, as the authors do.
    """
    n, train = len(responses), len(responses) - holdout
    y = np.asarray(responses, np.float64)
    count = sum(layer.shape[1] for layer in maps)
    voxels = y.shape[1]
    best = FittedFields(
        np.zeros((voxels, 3)),
        np.zeros(voxels, np.int64),
        np.full(voxels, np.inf),
        *(np.zeros((voxels, count)), np.zeros(voxels)),
        *(np.zeros((voxels, count)), np.ones((voxels, count))),
    )
    for start in track(range(0, len(models), FIELDS_AT_ONCE), name):
        block = models[start : start + FIELDS_AT_ONCE]
        features = pooled(maps, block, nonlinear=nonlinear, aperture=aperture)
        for model, x in zip(block, features, strict=True):
            mean, sd = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64) + SOFTENED
            design = np.concatenate([(x - mean) / sd, np.ones((n, 1))], axis=1)
            values, vectors = np.linalg.eigh(design[:train].T @ design[:train])
            rotated, against = design @ vectors, vectors.T @ (design[:train].T @ y[:train])
            for place, penalty in enumerate(penalties):
                coefficients = against / (values + penalty)[:, None]
                loss = np.square(y[train:] - rotated[train:] @ coefficients).sum(axis=0)
                better = np.flatnonzero(loss < best.loss)
                if not len(better):
                    continue
                weights = (vectors @ coefficients[:, better]).T
                best.loss[better], best.penalty[better], best.model[better] = loss[better], place, model
                best.weights[better], best.bias[better] = weights[:, :-1], weights[:, -1]
                best.feature_mean[better], best.feature_sd[better] = mean, sd
    return best


def respond(
    fitted: FittedFields, maps: Sequence[np.ndarray], *, nonlinear: bool = False, aperture: float = 1.0
) -> np.ndarray:
    """(N, V) float32 responses to images with `maps`."""
    out = np.empty((len(maps[0]), len(fitted.bias)), np.float32)
    models, member = np.unique(fitted.model, axis=0, return_inverse=True)
    for start in range(0, len(models), FIELDS_AT_ONCE):
        block = models[start : start + FIELDS_AT_ONCE]
        features = pooled(maps, block, nonlinear=nonlinear, aperture=aperture)
        for number, x in enumerate(features, start):
            own = np.flatnonzero(member.ravel() == number)
            gain = fitted.weights[own] / fitted.feature_sd[own]
            offset = fitted.bias[own] - (gain * fitted.feature_mean[own]).sum(axis=1)
            out[:, own] = x @ gain.T + offset
    return out
