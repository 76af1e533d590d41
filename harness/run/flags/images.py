"""Flags of the test images themselves: missing, met in training, or several times the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from ...data import SubjectData
from ...notices import Flag
from ...stages.checks import overlapping_images
from ...stages.data import Subset
from .thumbnails import near_duplicates


def missing_reconstructions(subset: Subset | None) -> Iterator[Flag]:
    if subset is not None and subset.missing:
        few = ", ".join(subset.first_missing) + (" ..." if subset.missing > len(subset.first_missing) else "")
        yield Flag(
            "missing-reconstructions",
            "warning",
            f"{subset.missing} test images have no reconstruction ({few}) and are left out of every row "
            f"(subset {subset.name}); if the hard ones are missing, scores are too good",
        )


def images_in_training(data: SubjectData, copies: Mapping[str, np.ndarray]) -> Iterator[Flag]:
    """Test images that are training images, to the byte or but for compression, brightness or contrast.

    copies : ``"training"`` and ``"stimulus"`` -> small copies (:mod:`.thumbnails`), where there are any.
    """
    same = overlapping_images(data.train.stimuli, data.test.stimuli)
    if same:
        yield Flag(
            "test-images-in-training",
            "alarm",
            f"{len(same)} of {len(data.test)} test images are training images too (first: {same[0]}); "
            "scores on them measure memory",
        )
    if "training" not in copies:
        return
    at = near_duplicates(copies["training"], copies["stimulus"])
    exact, names = set(same), data.train.stimuli.ids
    near = [(i, names[k]) for i, k in zip(data.test.stimuli.ids, at) if k >= 0 and i not in exact]
    if near:
        yield Flag(
            "near-duplicates-in-training",
            "alarm",
            f"{len(near)} of {len(data.test)} test images are near duplicates of training images (first: "
            f"{near[0][0]} of {near[0][1]}), the same pictures saved again or relit; scores on them measure "
            "memory",
        )


def doubled_images(data: SubjectData) -> Iterator[Flag]:
    """Test images of one content under several ids."""
    counts = Counter(data.test.stimuli.image_hashes())
    copies = len(data.test) - len(counts)
    if copies:
        most = counts.most_common(1)[0][0]
        of_one = [i for i, sha in zip(data.test.stimuli.ids, data.test.stimuli.image_hashes()) if sha == most]
        yield Flag(
            "doubled-test-images",
            "warning",
            f"{len(data.test)} test images are {len(counts)} different pictures (for example "
            f"{of_one[0]} = {of_one[1]}): copies are no rivals of each other, but count as images of "
            "their own: intervals are too narrow",
        )
