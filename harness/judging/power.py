"""The smallest difference between two encoders that this test set can show."""

from __future__ import annotations

import math

import numpy as np

from ..metrics.moments import Moments, r
from ..statistics.intervals import Estimate
from .sample import Sample, fit_plainly
from .verdict import Judgement, Verdict

_QUANTILES = 1.959964 + 0.841621
"""Of the normal distribution, for a two-sided test at .05 that finds a true difference in 80 % of test
sets."""


def judge_power(sample: Sample) -> Judgement:
    """From the paired difference in voxel r of two encoders made of small pictures, with and without
    contrast."""
    n_images = len(sample.test)
    if n_images < 4:
        return Judgement("power", Verdict.UNKNOWN, f"{n_images} test images tell nothing apart")
    colour = _jackknife(sample, sample.train_pictures, sample.test_pictures)
    grey = _jackknife(
        sample, *(_grey(pictures) for pictures in (sample.train_pictures, sample.test_pictures))
    )
    difference = colour[0] - grey[0]
    parts = -(n_images - 1) * (colour[1] - grey[1])
    error = Estimate.of(difference, parts - parts.mean(), n_images - 1).error
    least = _QUANTILES * error
    figures = (
        ("test images", str(n_images)),
        ("voxel r of a ridge on small pictures, in colour and in grey", f"{colour[0]:.3f}, {grey[0]:.3f}"),
        ("standard error of their difference", f"{error:.4f}"),
        ("smallest difference found in 80 % of such test sets (two-sided, .05)", f"{least:.4f}"),
        ("with four times as many images", f"{least / 2:.4f}"),
    )
    if not math.isfinite(least):
        return Judgement(
            "power", Verdict.UNKNOWN, "the difference of two encoders has no standard error here", figures
        )
    sentence = f"two encoders that differ by less than {least:.3f} in voxel r will rarely be told apart"
    return Judgement("power", Verdict.NOTE if least > 0.03 else Verdict.GOOD, sentence, figures)


def _grey(pictures: np.ndarray) -> np.ndarray:
    return pictures.reshape(len(pictures), -1, 3).mean(axis=-1)


def _jackknife(sample: Sample, train: np.ndarray, test: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean voxel r of a ridge on pictures (N, F), and without each test image (N,)."""
    model = fit_plainly(train, sample.train, sample.contents)
    predicted = np.asarray(model.predict(test), np.float64)
    whole = Moments.weighted(predicted, sample.test, np.full((1, len(predicted)), 1 / len(predicted)))
    parts = Moments.leave_one_out(predicted, sample.test)
    return float(np.nanmean(r(whole, None))), np.nanmean(r(parts, None), axis=1)
