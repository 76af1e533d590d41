"""Encoders of graded quality, made of the truth of simulated data: how good each is, is known.

What they predict is written as ``file:`` predictions, since no plugin is ever given the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data import SubjectData
from ..errors import ConfigError, suggest
from ..rows.table import training_mean
from ..seeds import image_seeds
from ..solvers.saved import replaced

KINDS = ("noise", "without", "rank")


def write_graded(data: SubjectData, definition: Mapping[str, Any], file: Path) -> None:
    """Write what an encoder of `definition` predicts for the test images of `data`.

    definition : ``{}``, the truth itself; or one of ``noise: x``, white noise of x times the standard
        deviation of each voxel's truth; ``without: NAME``, the voxels of a ROI or cortical group at their
        training mean;
        ``rank: K``, the truth through the first K principal components of the training responses.

    Raises
    ------
    ConfigError
        The data have no truth, or the definition is of no such kind.
    """
    if data.truth is None:
        raise ConfigError("graded encoders are made of the truth of simulated data, and these data have none")
    if len(definition) > 1:
        raise ConfigError(f"a graded encoder has one of {', '.join(KINDS)}; given {', '.join(definition)}")
    truth = data.truth.mean().astype(np.float64)
    predicted = truth
    for kind, value in definition.items():
        if kind not in KINDS:
            raise ConfigError(suggest(str(kind), KINDS, what="kind of graded encoder"))
        predicted = {"noise": _noisy, "without": _without, "rank": _of_rank}[kind](truth, value, data)
    with replaced(file) as partial:
        np.savez(partial, predictions=predicted.astype(np.float32), ids=np.array(data.test.stimuli.ids))


def _noisy(truth: np.ndarray, size: Any, data: SubjectData) -> np.ndarray:
    if isinstance(size, bool) or not isinstance(size, int | float) or not size > 0:
        raise ConfigError(
            f"noise of a graded encoder is {size!r}; expected a number above 0, for example 0.5"
        )
    seeds = image_seeds(0, data.test.stimuli.ids, 0, draw=2)
    noise = np.stack([np.random.default_rng(seed).standard_normal(truth.shape[1]) for seed in seeds])
    return truth + size * truth.std(axis=0) * noise


def _without(truth: np.ndarray, name: Any, data: SubjectData) -> np.ndarray:
    areas = {**data.space.rois, **data.space.groups}
    if name not in areas:
        raise ConfigError(suggest(str(name), areas, what="ROI or cortical group"))
    return np.where(np.asarray(areas[name], bool), training_mean(data), truth)


def _of_rank(truth: np.ndarray, rank: Any, data: SubjectData) -> np.ndarray:
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise ConfigError(f"rank of a graded encoder is {rank!r}; expected a whole number above 0")
    patterns = data.train.responses.mean().astype(np.float64)
    mean = patterns.mean(axis=0)
    _, _, axes = np.linalg.svd(patterns - mean, full_matrices=False)
    return mean + (truth - mean) @ axes[:rank].T @ axes[:rank]
