"""Adapters: from an encoder's output to the scale that a decoder was fitted on.

An encoder predicts a conditional mean, whose spread is below that of a trial; decoders see trials
or means of them.  Every adapter is fitted on training images only and is named in every result.

none            the predictions as they are (what published evaluations do)
match-std       each voxel scaled about its mean to the spread of single training trials
add-trial-noise as many noisy copies per image as it was measured, each with the variance of a trial
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..data import Responses, VoxelSpace
from ..errors import ConfigError, suggest
from ..nn.constancy import is_constant, spread

ADAPTERS = ("none", "match-std", "add-trial-noise")


class Adapter(Protocol):
    """Predictions (N, V) -> responses for the decoder."""

    def __call__(self, predicted: np.ndarray, ids: tuple[str, ...], seeds: np.ndarray) -> Responses: ...


@dataclass(frozen=True)
class Unchanged:
    """Adapter ``none``."""

    space: VoxelSpace

    def __call__(self, predicted: np.ndarray, ids: tuple[str, ...], seeds: np.ndarray) -> Responses:
        return Responses.single(self.space, ids, predicted)


@dataclass(frozen=True)
class MatchStd:
    """Adapter ``match-std``: (V,) means and spreads of synthetic and measured training data."""

    space: VoxelSpace
    synthetic_mean: np.ndarray
    measured_mean: np.ndarray
    scale: np.ndarray

    def __call__(self, predicted: np.ndarray, ids: tuple[str, ...], seeds: np.ndarray) -> Responses:
        scaled = self.measured_mean + (predicted - self.synthetic_mean) * self.scale
        return Responses.single(self.space, ids, np.where(self.space.valid, scaled, 0))


@dataclass(frozen=True)
class AddTrialNoise:
    """Adapter ``add-trial-noise``: white noise of (V,) SD that lifts predictions to trial variance."""

    space: VoxelSpace
    noise_sd: np.ndarray
    repeats: int

    def __call__(self, predicted: np.ndarray, ids: tuple[str, ...], seeds: np.ndarray) -> Responses:
        shape = (self.repeats, self.space.n_voxels)
        noise = np.stack(
            [np.random.Generator(np.random.Philox(int(s))).standard_normal(shape) for s in seeds]
        )
        trials = predicted[:, None] + noise * self.noise_sd  # (N, R, V)
        index = np.repeat(np.arange(len(ids)), self.repeats)
        return Responses(self.space, ids, trials.reshape(-1, shape[1]).astype(np.float32), index)


def fit_adapter(
    name: str, space: VoxelSpace, synthetic: np.ndarray | None, measured: Responses, *, repeats: int
) -> Adapter:
    """The adapter called `name`, from training predictions (N, V) and training responses."""
    if name == "none":
        return Unchanged(space)
    if name not in ADAPTERS:
        raise ConfigError(suggest(name, ADAPTERS, what="adapter"))
    mean, trial_sd = measured.spread()
    variance = trial_sd**2
    synthetic_mean, synthetic_sd = spread(synthetic)
    synthetic_variance = synthetic_sd**2
    if name == "match-std":
        # A voxel predicted as constant has no spread to stretch.
        ratio = np.divide(
            variance,
            synthetic_variance,
            out=np.zeros_like(variance),
            where=~is_constant(synthetic_sd, synthetic_mean),
        )
        return MatchStd(space, synthetic_mean, mean, np.sqrt(ratio))
    return AddTrialNoise(
        space, np.where(space.valid, np.sqrt(np.maximum(variance - synthetic_variance, 0)), 0), repeats
    )
