"""What judgements look at: a subject's means and pictures, of as many images and voxels as are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backbones.pixels import Pixels
from ..data import ImageSet, Responses, Split, SubjectData
from ..run.flags.small_copies import small_copies
from ..solvers.ridge import RidgeModel, fit_ridge

MOST_IMAGES, MOST_VOXELS = 4000, 2000
LAYER = "rgb16"
PENALTIES = tuple(10.0**k for k in range(0, 8))
_FEW = 20
"""Training images below which no penalty is chosen; it is then the number of features."""

_BATCH = 256


@dataclass(frozen=True)
class Sample:
    """Some of the data, by the means of images less the training mean.

    train, test : (N, K) means of up to 2,000 voxels, spread over those that are valid; centre : (K,) that was
    taken off.  train_pictures, test_pictures : (N, F) pixels of small colour pictures.  voxels : (K,) which.
    contents : hashes of the training images, up to 4,000 of them; kept : (N,) their places among all.
    """

    train: np.ndarray
    test: np.ndarray
    centre: np.ndarray
    train_pictures: np.ndarray
    test_pictures: np.ndarray
    voxels: np.ndarray
    contents: tuple[str, ...]
    kept: np.ndarray

    @classmethod
    def of(cls, data: SubjectData) -> Sample:
        """Up to 4,000 training images, evenly spread, and all test images."""
        valid = np.flatnonzero(data.space.valid)
        voxels = valid[evenly(len(valid), MOST_VOXELS)]
        ids = data.train.stimuli.ids
        kept = evenly(len(ids), MOST_IMAGES)
        train = data.train if len(kept) == len(ids) else data.train.select([ids[k] for k in kept])
        train_means, test_means = (part.responses.mean()[:, voxels] for part in (train, data.test))
        centre = train_means.mean(axis=0, dtype=np.float64)
        return cls(
            train_means - centre,
            test_means - centre,
            centre,
            small_pictures(train),
            small_pictures(data.test),
            voxels,
            train.stimuli.image_hashes(),
            kept,
        )


def evenly(count: int, most: int) -> np.ndarray:
    """Places of at most `most` of `count` things, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def small_pictures(split: Split) -> np.ndarray:
    """(N, F) pixels of the images of a split at 16 x 16, in colour."""
    pixels = Pixels()
    parts = [pixels.extract(images, [LAYER])[LAYER] for _, images in split.stimuli.batches(_BATCH)]
    return np.concatenate(parts).reshape(len(split), -1)


def luminance_copies(images: ImageSet) -> np.ndarray:
    """(N, h, w) small copies of `images`, by which near duplicates are told."""
    return np.concatenate([small_copies(batch) for _, batch in images.batches(_BATCH)])


def trials_at(responses: Responses, at: np.ndarray, voxels: np.ndarray) -> np.ndarray:
    """(n, K) float64 responses of the trials `at`, in increasing order, a block at a time."""
    values = np.empty((len(at), len(voxels)))
    for start in range(0, len(at), _BATCH):
        part = slice(start, start + _BATCH)
        values[part] = np.asarray(responses.data[at[part]])[:, voxels]
    return values


def fit_plainly(pictures: np.ndarray, responses: np.ndarray, contents: Sequence[str]) -> RidgeModel:
    """A ridge of `responses` (N, K) on `pictures` (N, F), of hashes `contents`; one penalty for all."""
    few = len(pictures) < _FEW
    return fit_ridge(
        pictures,
        responses,
        ids=[str(k) for k in range(len(pictures))],
        contents=contents,
        penalties=(float(pictures.shape[1]),) if few else PENALTIES,
        shared_penalty=True,
    )
