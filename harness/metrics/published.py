"""Encoding scores as other groups define them, by name; off unless asked for.

They are computed on the benchmark's responses as they are.  The definition alone does not make a
number comparable with a published one: SynBrain's data are int16 betas / 2000, not centred, where a
constant reaches r = 0.67; MindSimulator's are z-scored by session; Algonauts' are surface vertices.
Units, trials and voxels must be the same, too.  Predictions of a stochastic encoder enter as the mean
of their samples, as MindSimulator's five do.  A constant prediction correlates 0 here, and NaN in their
code; masked voxels are left out.

Sources, read as code: SynBrain ``src/eval.py`` (github MichaelMaiii/SynBrain, 9b4f4bb);
MindSimulator ``Codes/mindeye2_src/Final_Eval.py`` (github AlexOlza/MindSimulator, f74460b);
Algonauts 2023 ``code/02_baseline_encoding_model/03_test_encoding.py`` (github gifale95/algonauts_2023,
4bfbf43; arXiv 2301.03198) and the evaluation page of the 2021 mini track
(competitions.codalab.org/competitions/30930).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from .ceilings import by_image, split_half_ceiling
from .encoding import ResponseMetric, checked, pattern_cosine, pattern_r, synbrain_cka, voxel_r, voxel_r2

Array = np.ndarray

MINDSIMULATOR_TRIALS = 3
ALGONAUTS_NO_CEILING = 1e-14  # takes the place of a ceiling of 0
PERCENT = 100.0


def pattern_mse(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """(N,) mean squared error of each row over voxels, in squared units of the responses."""
    predicted, measured = checked(predicted, measured)
    return np.array(
        [((x.astype(np.float64) - y) ** 2).mean() for x, y in zip(predicted, measured)], np.float64
    )


def padded_mean(trials: np.ndarray, image_index: np.ndarray) -> np.ndarray:
    """(N, V) MindSimulator's target: the mean over an image's trials, fewer than three padded to three.

    Two trials a, b become a, b, a, so that the first weighs twice.  More than three, which that code
    refuses, are averaged.
    """
    index, n = np.asarray(image_index), int(np.max(image_index)) + 1
    seen = np.zeros(n, np.int64)
    counts = np.bincount(index, minlength=n)
    total = np.zeros((n, trials.shape[1]))
    weight = np.zeros(n)
    for trial, image in enumerate(index):
        length = max(MINDSIMULATOR_TRIALS, counts[image])
        times = len(range(seen[image], length, counts[image]))
        total[image] += times * trials[trial].astype(np.float64)
        weight[image] += times
        seen[image] += 1
    return total / weight[:, None]


def algonauts_2023(predicted: np.ndarray, measured: np.ndarray, ceiling: np.ndarray | None) -> float:
    """Median over voxels, in percent, of max(r, 0)^2 / ceiling, at most 100.

    A ceiling of 0 counts as 1e-14, so that any r > 0 gives 100 there.  NaN voxels are left out; NaN
    without a ceiling.
    """
    if ceiling is None:
        return float("nan")
    r2 = np.maximum(voxel_r(predicted, measured), 0.0) ** 2
    limit = np.where(np.asarray(ceiling, np.float64) == 0, ALGONAUTS_NO_CEILING, ceiling)
    share = np.minimum(r2 / limit, 1.0)
    return float(PERCENT * np.median(share[np.isfinite(share)])) if np.isfinite(share).any() else float("nan")


def algonauts_2021(
    predicted: np.ndarray, measured: np.ndarray, trials: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """(V,) r over the square root of the split-half reliability, mean over all splits of the trials.

    The challenge has ten trials per image, keeps significantly reliable voxels only, and averages them
    by ROI and then over ROIs.  Here a voxel without positive reliability is NaN, and so are all where
    images differ in their number of trials or have one; an odd number is split as
    :func:`.ceilings.split_half_ceiling` says.
    """
    counts = np.bincount(image_index)
    if counts.min() < 2 or counts.min() != counts.max():
        return np.full(predicted.shape[1], np.nan)
    reliability = split_half_ceiling(by_image(trials, image_index))
    return voxel_r(predicted, measured) / np.sqrt(np.where(reliability > 0, reliability, np.nan))


class _Published(ResponseMetric):
    """A published definition that compares with single trials."""

    needs: ClassVar[tuple[str, ...]] = ("trials",)
    by_region: ClassVar[bool] = False
    unit: ClassVar[str] = "image"
    default: ClassVar[bool] = False


class _PerTrial(_Published, ABC):
    """Each image's prediction against each of its trials; the value of an image is their mean.

    SynBrain averages over all (image, trial) pairs, three for each image: the same for equal repeats.
    """

    @abstractmethod
    def pairs(self, predicted: Array, trials: Array) -> Array:
        """(T,) values of the predictions that belong to `trials`, both (T, V)."""

    def score(
        self,
        predicted: Array,
        measured: Array,
        *,
        baseline: Array,
        ceiling: Array | None,
        trials: Array,
        image_index: Array,
    ) -> Array:
        values = self.pairs(predicted[image_index], trials)
        return np.bincount(image_index, values, len(predicted)) / np.bincount(
            image_index, minlength=len(predicted)
        )


class SynBrainMSE(_PerTrial):
    """SynBrain's MSE: mean squared error over voxels of each image against each trial."""

    label = "SynBrain MSE"
    higher_is_better = False

    def pairs(self, predicted: Array, trials: Array) -> Array:
        return pattern_mse(predicted, trials)


class SynBrainR(_PerTrial):
    """SynBrain's Pearson: over voxels, of each image against each trial, nothing taken off."""

    label = "SynBrain r"

    def pairs(self, predicted: Array, trials: Array) -> Array:
        return pattern_r(predicted, trials)


class SynBrainCosine(_PerTrial):
    """SynBrain's cosine: over voxels, of each image against each trial, nothing taken off."""

    label = "SynBrain cosine"

    def pairs(self, predicted: Array, trials: Array) -> Array:
        return pattern_cosine(predicted, trials)


class SynBrainCKA(_Published):
    """SynBrain's CKA of all trials with their images' predictions; see :func:`.encoding.synbrain_cka`."""

    label = "SynBrain CKA"
    unit = "set"
    pool = True

    def score(
        self,
        predicted: Array,
        measured: Array,
        *,
        baseline: Array,
        ceiling: Array | None,
        trials: Array,
        image_index: Array,
    ) -> float:
        return synbrain_cka(predicted[image_index], trials)


class MindSimulatorMSE(_Published):
    """MindSimulator's MSE: over all images and voxels, against :func:`padded_mean`."""

    label = "MindSimulator MSE"
    higher_is_better = False

    def against(self, predicted: Array, target: Array) -> Array:
        return pattern_mse(predicted, target)

    def score(
        self,
        predicted: Array,
        measured: Array,
        *,
        baseline: Array,
        ceiling: Array | None,
        trials: Array,
        image_index: Array,
    ) -> Array:
        return self.against(predicted, padded_mean(trials, image_index))


class MindSimulatorR(MindSimulatorMSE):
    """MindSimulator's Pearson: of each image over voxels, nothing taken off."""

    label = "MindSimulator r"
    higher_is_better = True

    def against(self, predicted: Array, target: Array) -> Array:
        return pattern_r(predicted, target)


class MindSimulatorR2(MindSimulatorMSE):
    """MindSimulator's R2: of each voxel over images, averaged over voxels."""

    label = "MindSimulator R²"
    unit = "voxel"
    higher_is_better = True

    def against(self, predicted: Array, target: Array) -> Array:
        return voxel_r2(predicted, target)


class Algonauts2023(ResponseMetric):
    """The challenge's score of one subject; see :func:`algonauts_2023`."""

    label = "Algonauts 2023 (%)"
    unit = "set"
    default = False

    def score(self, predicted: Array, measured: Array, *, baseline: Array, ceiling: Array | None) -> float:
        return algonauts_2023(predicted, measured, ceiling)


class Algonauts2021(_Published):
    """The mini track's noise-normalised correlation; see :func:`algonauts_2021`."""

    label = "Algonauts 2021"
    unit = "voxel"
    by_region = True

    def score(
        self,
        predicted: Array,
        measured: Array,
        *,
        baseline: Array,
        ceiling: Array | None,
        trials: Array,
        image_index: Array,
    ) -> Array:
        return algonauts_2021(predicted, measured, trials, image_index)
