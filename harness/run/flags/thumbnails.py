"""Small copies of images, by which they are told apart without any network.

A copy is the mean luminance over a grid of `SIDE` x `SIDE` rectangles: what survives saving an image again as
JPEG, a change of brightness or contrast, and the grain of any decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...data import ImageSet, SubjectData
from ...rows.row_images import RowImages
from ...storage.cached import Item, cached_map
from ...storage.executors import Executor
from ...storage.references import readable
from ...storage.store import Store
from .small_copies import write_small_copies

ROWS = ("measured", "predicted", "reconstructions", "zero", "train-mean")
"""Rows whose images flags look at."""

ALIKE = 0.99
"""Correlation of two copies from which they are looked at closely."""

LOCAL = 0.06
"""Largest difference anywhere, in units of white, of near duplicates after their gain and offset are matched.
Of drawn scenes saved as JPEG, quality 50 and 30, none differed by more than 0.046 and 0.053; of 3,000,000
pairs of different scenes the most alike by 0.155."""

GAIN = (0.5, 2.0)
FLAT = 0.02
"""SD of a copy, in units of white, below which an image shows too little to be the near duplicate of any."""

BLOCK = 2048
"""Training images compared at a time."""


def thumbnails(sets: Mapping[str, ImageSet], store: Store, executor: Executor) -> dict[str, np.ndarray]:
    """Name -> (N, h, w) float32 in [0, 1] of each of `sets`, from the store where they were made before."""
    items = [
        Item({"images": stimuli.image_hashes()}, lambda stimuli=stimuli: (readable(stimuli),))
        for stimuli in sets.values()
    ]
    artifacts = cached_map("thumbnails", items, write_small_copies, store=store, executor=executor)
    return {name: artifact.array("thumbnails") for name, artifact in zip(sets, artifacts, strict=True)}


def look_at(
    sets: Sequence[RowImages], data: SubjectData, store: Store, executor: Executor
) -> dict[str, np.ndarray]:
    """Small copies of the images of `ROWS`, of the stimuli and of the training images."""
    first = {
        row_images.row: row_images.images
        for row_images in reversed(sets)
        if row_images.trial < 0 and row_images.row in ROWS
    }
    named = {"training": data.train.stimuli, "stimulus": data.test.stimuli, **first}
    return thumbnails(named, store, executor)


def near_duplicates(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(N,) position of the training image that each test image is a near duplicate of, or -1.

    `train` (M, h, w) and `test` (N, h, w) are small copies.  All pairs are correlated, a block of
    training images at a time; the most alike one of each test image is then compared cell by cell.
    """
    twins = np.full(len(test), -1, np.int64)
    if train.shape[1:] != test.shape[1:] or not len(test):
        return twins
    rows, shown = _standardised(test)
    best = np.full(len(test), ALIKE)
    for start in range(0, len(train), BLOCK):
        block, varied = _standardised(np.asarray(train[start : start + BLOCK]))
        r = rows @ block.T
        r[:, ~varied] = -1
        at = r.argmax(axis=1)
        top = r[np.arange(len(r)), at]
        better = (top > best) & shown
        twins[better], best[better] = start + at[better], top[better]
    for k in np.flatnonzero(twins >= 0):
        if not _same_everywhere(np.asarray(train[twins[k]]), test[k]):
            twins[k] = -1
    return twins


def near_pairs(copies: np.ndarray) -> np.ndarray:
    """(P, 2) positions of the pairs of `copies` (N, h, w) of which one is a near duplicate of the other."""
    pairs = [np.zeros((0, 2), np.int64)]
    rows, shown = _standardised(copies)
    for start in range(0, len(copies), BLOCK):
        alike = rows[start : start + BLOCK] @ rows[start:].T > ALIKE
        alike &= shown[start : start + BLOCK, None] & shown[start:]
        alike_pairs = np.argwhere(np.triu(alike, 1)) + start
        same = [
            _same_everywhere(copies[i], copies[j]) or _same_everywhere(copies[j], copies[i])
            for i, j in alike_pairs
        ]
        pairs.append(alike_pairs[np.array(same, bool)])
    return np.concatenate(pairs)


def _standardised(copies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Copies as (n, D) float32 rows of mean 0 and norm 1, and (n,) whether they show anything."""
    flat = copies.reshape(len(copies), -1) - copies.mean(axis=(1, 2))[:, None]
    norm = np.linalg.norm(flat, axis=1)
    shown = norm > FLAT * np.sqrt(flat.shape[1])
    return flat / np.where(shown, norm, 1)[:, None], shown


def _same_everywhere(first: np.ndarray, second: np.ndarray) -> bool:
    x, y = (side.ravel().astype(np.float64) for side in (first, second))
    dx, dy = x - x.mean(), y - y.mean()
    gain = (dx @ dy) / (dx @ dx)
    return bool(GAIN[0] <= gain <= GAIN[1] and np.abs(dx * gain - dy).max() <= LOCAL)
