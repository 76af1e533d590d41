"""Duplicates and near-duplicates across the split: a test image that training showed is no test."""

from __future__ import annotations

import numpy as np

from ..data import SubjectData
from .alignment import Sample
from .verdict import Judgement, Verdict

NEAR = 0.995
"""Correlation of small pictures above which two are taken for one, cropped, recompressed or recoloured."""


def judge_pictures(data: SubjectData, sample: Sample) -> Judgement:
    """Copies by content, and the training image that looks most like each test image."""
    train_hashes = set(data.train.stimuli.image_hashes())
    copies = [
        name
        for name, sha in zip(data.test.stimuli.ids, data.test.stimuli.image_hashes())
        if sha in train_hashes
    ]
    nearest = nearest_pictures(sample.test_pictures, sample.train_pictures)
    near = np.flatnonzero(nearest >= NEAR)
    within = len(data.test) - len(set(data.test.stimuli.image_hashes()))
    figures = [
        ("test images that are training images, byte for byte", str(len(copies))),
        (f"test images that look like a training image (r of small pictures above {NEAR})", str(len(near))),
        ("nearest training image, median r of small pictures", f"{np.median(nearest):.3f}"),
        ("test images that are copies of another test image", str(within)),
    ]
    if len(near):
        figures.append(("for example", ", ".join(data.test.stimuli.ids[k] for k in near[:5])))
    if copies or len(near) > 0.01 * len(data.test):
        sentence = (
            f"{max(len(copies), len(near))} of {len(data.test)} test images were shown in training, or nearly"
        )
        advice = "make a split without them: harness data split"
        return Judgement("pictures", Verdict.ALARM, sentence, tuple(figures), advice)
    if len(near) or within:
        sentence = "a few test images are nearly training images, or copies of one another"
        return Judgement("pictures", Verdict.NOTE, sentence, tuple(figures))
    return Judgement(
        "pictures", Verdict.GOOD, "no test image is, or nearly is, a training image", tuple(figures)
    )


def nearest_pictures(test: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(N,) highest correlation of each test picture with a training picture."""
    best = np.full(len(test), -1.0)
    unit = [_unit(values) for values in (test, train)]
    for start in range(0, len(train), 1024):
        best = np.maximum(best, (unit[0] @ unit[1][start : start + 1024].T).max(axis=1))
    return best


def _unit(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(norms > 0, norms, 1)
