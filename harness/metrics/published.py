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

from collections.abc import Callable

import numpy as np

from .ceilings import by_image, split_half_ceiling
from .encoding import checked, pattern_cosine, pattern_r, synbrain_cka, voxel_r, voxel_r2

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


def _per_trial(
    score: Callable[[np.ndarray, np.ndarray], np.ndarray],
    predicted: np.ndarray,
    trials: np.ndarray,
    image_index: np.ndarray,
) -> np.ndarray:
    """(N,) mean over each image's trials of its prediction's `score`.

    SynBrain averages over all (image, trial) pairs, three for each image: the same for equal repeats.
    """
    values = score(predicted[image_index], trials)
    counts = np.bincount(image_index, minlength=len(predicted))
    return np.bincount(image_index, values, len(predicted)) / counts


def synbrain_mse(
    predicted: np.ndarray, measured: np.ndarray, *, trials: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """(N,) SynBrain's MSE: mean squared error over voxels of each image against each trial."""
    return _per_trial(pattern_mse, predicted, trials, image_index)


def synbrain_r(
    predicted: np.ndarray, measured: np.ndarray, *, trials: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """(N,) SynBrain's Pearson: over voxels, of each image against each trial, nothing taken off."""
    return _per_trial(pattern_r, predicted, trials, image_index)


def synbrain_cosine(
    predicted: np.ndarray, measured: np.ndarray, *, trials: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """(N,) SynBrain's cosine: over voxels, of each image against each trial, nothing taken off."""
    return _per_trial(pattern_cosine, predicted, trials, image_index)


def synbrain_cka_of_trials(
    predicted: np.ndarray, measured: np.ndarray, *, trials: np.ndarray, image_index: np.ndarray
) -> float:
    """SynBrain's CKA of all trials with their images' predictions (:func:`.encoding.synbrain_cka`)."""
    return synbrain_cka(predicted[image_index], trials)


def mindsimulator_mse(
    predicted: np.ndarray, measured: np.ndarray, *, trials: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """(N,) MindSimulator's MSE: over all images and voxels, against :func:`padded_mean`."""
    return pattern_mse(predicted, padded_mean(trials, image_index))


def mindsimulator_r(
    predicted: np.ndarray, measured: np.ndarray, *, trials: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """(N,) MindSimulator's Pearson: of each image over voxels, nothing taken off."""
    return pattern_r(predicted, padded_mean(trials, image_index))


def mindsimulator_r2(
    predicted: np.ndarray, measured: np.ndarray, *, trials: np.ndarray, image_index: np.ndarray
) -> np.ndarray:
    """(V,) MindSimulator's R2: of each voxel over images, averaged over voxels."""
    return voxel_r2(predicted, padded_mean(trials, image_index))
