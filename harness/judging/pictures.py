"""Duplicates and near-duplicates across the split: a test image that training showed is no test."""

from __future__ import annotations

import numpy as np

from ..data import SubjectData
from ..run.flags.thumbnails import near_duplicates
from ..solvers.nearest import nearest_with_r
from .sample import Sample, luminance_copies
from .verdict import Judgement, Verdict


def judge_pictures(data: SubjectData, sample: Sample) -> Judgement:
    """Copies by content, near duplicates by the flags' rule, likeness to the nearest training image."""
    shown = set(data.train.stimuli.image_hashes())
    tested = data.test.stimuli.image_hashes()
    copies = sum(sha in shown for sha in tested)
    small = (luminance_copies(part.stimuli) for part in (data.train, data.test))
    near = np.flatnonzero(near_duplicates(*small) >= 0)
    nearest = nearest_with_r(sample.test_pictures, sample.train_pictures)[1]
    within = len(data.test) - len(set(tested))
    figures = [
        ("test images that are training images, byte for byte", str(copies)),
        ("test images that are a training image saved again, or nearly", str(len(near))),
        ("nearest training image, median r of small pictures", f"{np.median(nearest):.3f}"),
        ("test images that are copies of another test image", str(within)),
    ]
    if len(near):
        figures.append(("for example", ", ".join(data.test.stimuli.ids[k] for k in near[:5])))
    if copies or len(near):
        sentence = (
            f"{max(copies, len(near))} of {len(data.test)} test images were shown in training, or nearly"
        )
        advice = "make a split without them: harness data split"
        return Judgement("pictures", Verdict.ALARM, sentence, tuple(figures), advice)
    if within:
        sentence = "some test images are copies of one another"
        return Judgement("pictures", Verdict.NOTE, sentence, tuple(figures))
    return Judgement(
        "pictures", Verdict.GOOD, "no test image is, or nearly is, a training image", tuple(figures)
    )
