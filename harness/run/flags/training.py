"""Flags of whom an encoder was fitted on, where that is not the scored subject alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...data import SubjectData
from ...notices import Flag
from ...stages.checks import overlapping_images


def several_subjects(data: SubjectData, training: Sequence[SubjectData], *, adapted: bool) -> Iterator[Flag]:
    """Which subjects the encoder was fitted on, and how it knows the scored one.

    training : what it was fitted on, nothing without an encoder.  adapted : to the training data of `data`.
    """
    names = [subject.subject for subject in training]
    if not names or names == [data.subject]:
        return
    if data.subject in names:
        how = f"the training data of {data.subject} among them"
    elif adapted:
        how = f"and adapted to the training data of {data.subject}"
    else:
        how = f"and predicts {data.subject} without any data of it"
    yield Flag("several-subjects", "info", f"the encoder was fitted on {', '.join(names)}, {how}")


def images_in_others_training(data: SubjectData, training: Sequence[SubjectData]) -> Iterator[Flag]:
    """Test images that another subject saw in training, by their content."""
    for subject in training:
        if subject.subject == data.subject:
            continue
        same = overlapping_images(subject.train.stimuli, data.test.stimuli)
        if same:
            yield Flag(
                "test-images-in-training",
                "alarm",
                f"{len(same)} of {len(data.test)} test images are training images of {subject.subject} "
                f"(first: {same[0]}), on whom the encoder was fitted too; scores on them measure memory",
            )
